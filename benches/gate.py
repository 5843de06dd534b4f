"""How fast a gate reads the outcomes of a run: the program as a Lambda function, on SeaweedFS.

    tests/aws/rig.sh sh -c '$FANFOLD_RIG_PYTHON benches/gate.py target/release/fanfold 2000 100'

puts the outcomes of so many batches of so many items into a bucket, hands the program one event for its gate, and prints how long the
answer took, in wall and CPU seconds, and what came.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config

WORKFLOW = """fanfold: 1
name: gate
items: { objects: { source: s3://photos/ } }
job: { image_resize: { width: 128, destination: s3://thumbs/ } }
"""


def fill(batches, items):
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, max_pool_connections=32))
    s3.create_bucket(Bucket="results")

    def one(batch):
        first = batch * items
        folder = f"gate/r/batches/0000/{first:010}/"
        output = {"width": 128, "height": 96, "bytes": 4711}
        lines = [{"index": n, "key": f"s3://photos/{n:08}.jpg", "status": "succeeded", "attempts": 1, "output": output,
                  "to": f"s3://thumbs/{n:08}.jpg"} for n in range(first, first + items)]
        body = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        s3.put_object(Bucket="results", Key=f"{folder}items-{items:06}.json", Body=b"[]")
        s3.put_object(Bucket="results", Key=f"{folder}1795440000000-request-0000.jsonl", Body=body.encode())

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(one, range(batches)))


class Runtime(BaseHTTPRequestHandler):
    """Lambda's runtime API: one event, then none."""

    event, answers, done = b"", [], threading.Event()

    def do_GET(self):
        if Runtime.answers:
            time.sleep(3600)
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "request")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 900) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:1:function:gate")
        self.send_header("Content-Length", str(len(self.event)))
        self.end_headers()
        self.wfile.write(self.event)

    def do_POST(self):
        Runtime.answers.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(202)
        self.end_headers()
        Runtime.done.set()

    def log_message(self, *_):
        pass


def main(program, batches, items):
    fill(batches, items)
    gate = {"run": "r", "round": 0, "params": {}, "results": {"bucket": "results", "prefix": "gate/r/"}, "map": None}
    Runtime.event = json.dumps({"Gate": gate}).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "workflow.yaml"), "w") as file:
            file.write(WORKFLOW)
        environment = {
            **os.environ, "LAMBDA_TASK_ROOT": root, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "gate", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "AWS_LAMBDA_FUNCTION_VERSION": "1"}
        began = time.monotonic()
        process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL)
        while not Runtime.done.wait(0.05) and process.poll() is None:
            pass
        wall = time.monotonic() - began
        with open(f"/proc/{process.pid}/status") as status:
            peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
        process.kill()
        process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(Runtime.answers[0])
    total = batches * items
    print(f"{batches} batches of {items}: {wall:.1f} s wall, {used.ru_utime + used.ru_stime:.1f} s CPU, {int(peak) // 1024} MiB, "
          f"{total / wall:,.0f} outcomes/s, {batches / wall:,.0f} batches/s")


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
