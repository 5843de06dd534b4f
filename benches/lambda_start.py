"""Stands for Lambda: starts a function's program again and again, and tells how long it takes until it asks for its first event.

    lambda_start.py ROUNDS NAME=PROGRAM …

Programs take turns, so that what else the machine does is everybody's. Prints, for each: the median and the least of the milliseconds from
exec to the first request, and the memory that is its own and in use by then (RSS, MiB).
"""

import os
import socket
import statistics
import subprocess
import sys
import time


def once(program):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "start",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "LAMBDA_TASK_ROOT": "/nowhere",
        }
        server.settimeout(20)
        began = time.perf_counter()
        process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection, _ = server.accept()
            with connection:
                request = connection.recv(65536)
                took = time.perf_counter() - began
                assert b"/runtime/invocation/next" in request.split(b"\r\n", 1)[0], request[:200]
                with open(f"/proc/{process.pid}/status") as status:
                    rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        finally:
            process.kill()
            process.wait()
    return took * 1000, rss / 1024


def main():
    rounds = int(sys.argv[1])
    programs = [argument.split("=", 1) for argument in sys.argv[2:]]
    found = {name: [] for name, _ in programs}
    for _ in range(rounds):
        for name, program in programs:
            found[name].append(once(program))
    for name, values in found.items():
        times = [took for took, _ in values]
        memory = statistics.median(rss for _, rss in values)
        print(f"{name}: {statistics.median(times):.2f} ms to the first request (least {min(times):.2f}), {memory:.1f} MiB")


main()
