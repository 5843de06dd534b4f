"""Starts and stops the engines, and speaks to them for the tests.

    rig.py up COMMAND [ARG…]             the engines, for as long as the command runs (tests/aws/rig.sh)
    rig.py call SERVICE OPERATION JSON   one call of AWS's API, by boto3's names; prints the answer
    rig.py fault KIND JSON               from now on: kill, freeze, throttle or twice, as {"times": 3, "every": 2, "after": 0.2}
    rig.py upload FOLDER BUCKET PREFIX   the files of a folder
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
# Not the words that engines take for "anybody".
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAFANFOLDRIG000000", "AWS_SECRET_ACCESS_KEY": "the-rig-of-fanfold-on-127-0-0-1"}


def ports(count):
    """Free ones; held all at once, so that no two are the same."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(url, process, log, accept=(200,)):
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            status = urllib.request.urlopen(url, timeout=2).status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = None
        if status in accept:
            return
        time.sleep(0.1)
    sys.exit(f"{url} does not answer:\n{log.read_text()[-4000:]}")


def seaweed(folder, environment, held):
    s3, master, volume, filer, *grpc = ports(8)
    config = folder / "s3.json"
    credentials = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    config.write_text(json.dumps({"identities": [
        {"name": "rig", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}))
    log = folder / "seaweed.log"
    data = folder / "seaweed"
    data.mkdir()
    process = subprocess.Popen(
        [BIN / "weed", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=300", "-master.volumeSizeLimitMB=512",
         "-master.volumePreallocate=false", "-filer", "-s3", f"-s3.config={config}", f"-s3.port={s3}", f"-master.port={master}",
         f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port.grpc={grpc[0]}", f"-master.port.grpc={grpc[1]}",
         f"-volume.port.grpc={grpc[2]}", f"-filer.port.grpc={grpc[3]}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-iam.port=0"],
        stdout=log.open("w"), stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True)
    held.callback(end, process)
    wait_for(f"http://127.0.0.1:{s3}/", process, log, (200, 403))
    return f"http://127.0.0.1:{s3}"


def ministack(folder, environment, held):
    (port,) = ports(1)
    log = folder / "ministack.log"
    temporary = folder / "tmp"
    temporary.mkdir()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, HERE / "engine.py"], stdout=log.open("w"), stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
        env={**environment, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": url, "TMPDIR": str(temporary),
             "MINISTACK_REGION": environment["AWS_REGION"], "LAMBDA_ACCOUNT_CONCURRENCY": "1000", "LAMBDA_WARM_TTL_SECONDS": "60",
             "LOG_LEVEL": environment.get("FANFOLD_RIG_LOG", "WARNING"), "PYTHONUNBUFFERED": "1"})
    held.callback(end, process)
    wait_for(f"{url}/_ministack/health", process, log)
    return url


def end(process):
    """The process and whatever it started (functions are in its session)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def up(command):
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="fanfold-rig-")))
        (folder / "faults").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**kept, **KEYS, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "FANFOLD_RIG": str(folder),
                       "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        # What was asked to end, ends all: the exit stack runs.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        environment["AWS_ENDPOINT_URL_S3"] = seaweed(folder, environment, held)
        environment["AWS_ENDPOINT_URL"] = ministack(folder, environment, held)
        environment["FANFOLD_RIG_PYTHON"] = sys.executable
        ended = subprocess.call(command, env=environment)
        if ended:
            # What the engines and the functions said of the last run that went wrong.
            kept = BIN.parent.parent / "logs"
            kept.mkdir(exist_ok=True)
            for log in [*folder.glob("*.log"), *folder.glob("*.jsonl")]:
                shutil.copy(log, kept)
            print(f"the logs are in {kept}", file=sys.stderr)
        return ended


def client(service):
    import boto3
    from botocore.config import Config

    return boto3.client(service, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, read_timeout=900))


def call(service, operation, given="{}"):
    import base64

    def plain(value):
        if hasattr(value, "read"):
            value = value.read()
        return value.decode() if isinstance(value, bytes) else str(value)

    arguments = json.loads(given)
    for name in ("Payload", "Body"):
        if isinstance(arguments.get(name), str):
            arguments[name] = arguments[name].encode()
    if "ZipFile" in arguments.get("Code", {}):
        arguments["Code"]["ZipFile"] = base64.b64decode(arguments["Code"]["ZipFile"])
    answer = getattr(client(service), operation)(**arguments)
    answer.pop("ResponseMetadata", None)
    print(json.dumps(answer, default=plain))


def fault(kind, asked):
    json.loads(asked)
    path = Path(os.environ["FANFOLD_RIG"]) / "faults" / f"{kind}.json"
    path.write_text(asked)


def upload(folder, bucket, prefix):
    s3 = client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.create_bucket(Bucket=bucket)
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda path: s3.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix()), files):
            pass
    print(len(files))


if __name__ == "__main__":
    verb, *rest = sys.argv[1:] or ["help"]
    verbs = {"call": call, "fault": fault, "upload": upload}
    if verb == "up" and rest:
        sys.exit(up(rest))
    if verb not in verbs:
        sys.exit(__doc__)
    verbs[verb](*rest)
