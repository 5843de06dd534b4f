"""ministack, with what it lacks of AWS set from outside; nothing of the product is changed, and definitions go in byte for byte.

What is the engine's: the API, CloudFormation with change sets, the States Language (paths, intrinsics, Choice, Wait, Retry, Catch), versions
and aliases, Lambda with real processes and the real Runtime API, reserved concurrency, timeouts, secrets and parameters.

What is ours, so that no claim about AWS rests on it:
 1. S3 is SeaweedFS, which checks signatures: for ItemReader, ResultWriter, the code of functions, templates and the buckets of stacks.
 2. ItemBatcher: `{"BatchInput", "Items"}`, MaxItemsPerBatch(Path), MaxInputBytesPerBatch(Path), BatchInput with paths into the Map's input.
 3. Children: their own name and start in `$$.Execution`, at most CHILDREN at once (MaxConcurrency if that is less), a limit of 5 minutes
    for express ones, 256 KiB for what goes in and comes out.
 4. ResultWriter: manifest.json, SUCCEEDED_n.json, FAILED_n.json, PENDING_n.json, and the state's output that points to them.
 5. UpdateMapRun while a map runs; StopExecution that starts no further child; counts of DescribeMapRun in items and in children.
 6. An execution started on a version or an alias runs that version's definition, and is described with it (ministack takes the
    newest).
 7. Lambda errors by AWS's names: Lambda.TooManyRequestsException for a throttle; reserved concurrency holds for versions too; more
    memory than the function has ends its process.
 8. AWS::StepFunctions::StateMachineVersion and …Alias in templates; Service Quotas.
 9. A function sees its own environment and nothing of ours. Faults on demand, a line per invocation in invocations.jsonl, and a program
    that stands in for the packed one.
"""

import contextvars
import copy
import csv
import io
import json
import math
import os
import queue
import signal
import sys
import threading
import time
import types
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import ministack.app as app
import ministack.core.lambda_runtime as runtime
import ministack.services.lambda_svc as lambdas
import ministack.services.s3 as own_s3
import ministack.services.stepfunctions as states
from ministack.services.cloudformation import provisioners

FOLDER = Path(os.environ["FANFOLD_RIG"])
CHILDREN = int(os.environ.get("FANFOLD_RIG_CHILDREN", "8"))
EXPRESS_SECONDS = float(os.environ.get("FANFOLD_RIG_EXPRESS_SECONDS", "300"))
PAYLOAD = 256 * 1024

S3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, max_pool_connections=64, retries={"mode": "standard"}))


# ---------------------------------------------------------------------------------------------------------------- 1. S3


def object_data(bucket, key, version_id=None):
    try:
        return S3.get_object(Bucket=bucket, Key=key, **({"VersionId": version_id} if version_id else {}))["Body"].read()
    except ClientError:
        return None


def make_bucket_too(create):
    def made(logical_id, props, stack_name):
        name, attributes = create(logical_id, props, stack_name)
        try:
            S3.create_bucket(Bucket=name)
        except (S3.exceptions.BucketAlreadyOwnedByYou, S3.exceptions.BucketAlreadyExists):
            pass
        return name, attributes

    return made


def remove_bucket_too(delete):
    def removed(physical_id, props):
        try:
            S3.delete_bucket(Bucket=physical_id)
        except ClientError as error:
            raise ValueError(f"the bucket {physical_id} cannot be removed: {error}") from error
        return delete(physical_id, props)

    return removed


# ------------------------------------------------------------------------------------------------- 2. and 3. the map run


def listed(bucket, prefix):
    pages = S3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for found in page.get("Contents", []):
            yield {
                "Etag": found["ETag"],
                "Key": found["Key"],
                "LastModified": int(found["LastModified"].timestamp()),
                "Size": found["Size"],
                "StorageClass": found.get("StorageClass") or "STANDARD",
            }


def rows(text, config):
    delimiter = states._CSV_DELIMITERS[config.get("CSVDelimiter", "COMMA")]
    found = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    header = config["CSVHeaders"] if config.get("CSVHeaderLocation") == "GIVEN" else found.pop(0) if found else []
    return [{name: row[at] if at < len(row) else "" for at, name in enumerate(header)} for row in found]


def read(reader, given, ctx):
    where = states._resolve_params_obj(reader.get("Parameters") or {}, given, ctx)
    config = reader.get("ReaderConfig") or {}
    try:
        if reader["Resource"].endswith("s3:listObjectsV2"):
            items = list(listed(where["Bucket"], where.get("Prefix", "")))
        else:
            data = object_data(where["Bucket"], where["Key"])
            if data is None:
                raise states._ExecutionError("States.ItemReaderFailed", f"The specified key does not exist: {where}")
            if where["Key"].endswith(".gz"):
                import gzip

                data = gzip.decompress(data)
            text = data.decode("utf-8-sig")
            items = rows(text, config) if config.get("InputType") == "CSV" else states._parse_reader_items(text, config)
    except ClientError as error:
        raise states._ExecutionError("States.ItemReaderFailed", str(error)) from error
    most = config.get("MaxItems")
    if config.get("MaxItemsPath"):
        most = states._resolve_path_or_ctx(config["MaxItemsPath"], given, ctx)
    return items[: int(most)] if most else items


def size(value):
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def setting(state, name, given, ctx):
    if f"{name}Path" in state:
        return states._resolve_path_or_ctx(state[f"{name}Path"], given, ctx)
    return state.get(name)


def batches(batcher, items, given, ctx):
    """The inputs of the children, each with the number of its items."""
    if not batcher:
        return [(item, 1) for item in items]
    most = setting(batcher, "MaxItemsPerBatch", given, ctx) or math.inf
    bytes_ = min(setting(batcher, "MaxInputBytesPerBatch", given, ctx) or PAYLOAD, PAYLOAD)
    around = {}
    if "BatchInput" in batcher:
        around["BatchInput"] = states._resolve_params_obj(batcher["BatchInput"], given, ctx)
    empty = size({**around, "Items": []})
    made, batch, used = [], [], empty
    for item in items:
        more = size(item) + (1 if batch else 0)
        if batch and (len(batch) >= most or used + more > bytes_):
            made.append(({**copy.deepcopy(around), "Items": batch}, len(batch)))
            batch, used, more = [], empty, size(item)
        if used + more > bytes_:
            raise states._ExecutionError("States.DataLimitExceeded", "an item is larger than a batch may be")
        batch.append(item)
        used += more
    if batch:
        made.append(({**around, "Items": batch}, len(batch)))
    return made


class MapRun:
    """One map run: hands out the batches, counts, and is changed by UpdateMapRun and StopExecution while it goes."""

    def __init__(self, state, iterator, given, execution, ctx):
        config = iterator.get("ProcessorConfig") or {}
        self.express = config.get("ExecutionType") == "EXPRESS"
        self.iterator, self.execution, self.ctx = iterator, execution, ctx
        if state.get("ItemReader"):
            items = read(state["ItemReader"], given, ctx)
        else:
            items = states._resolve_path_or_ctx(state.get("ItemsPath", "$"), given, ctx)
        selector = state.get("ItemSelector")
        if selector:
            items = [
                states._resolve_params_obj(selector, given, {**ctx, "Map": {"Item": {"Index": at, "Value": item}}})
                for at, item in enumerate(items)
            ]
        self.inputs = batches(state.get("ItemBatcher"), items, given, ctx)
        machine = execution["stateMachineArn"].split(":")
        self.name, self.label = machine[6], state.get("Label") or states.new_uuid()
        self.scope = f"arn:aws:states:{machine[3]}:{machine[4]}"
        self.uuid = states.new_uuid()
        self.percent = float(setting(state, "ToleratedFailurePercentage", given, ctx) or 0)
        self.count = int(setting(state, "ToleratedFailureCount", given, ctx) or 0)
        zero = dict.fromkeys(
            ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten",
             "failuresNotRedrivable", "pendingRedrive"), 0)
        self.run = {
            "mapRunArn": f"{self.scope}:mapRun:{self.name}/{self.label}:{self.uuid}",
            "executionArn": execution["executionArn"], "status": "RUNNING", "startDate": states.now_iso(),
            "maxConcurrency": int(setting(state, "MaxConcurrency", given, ctx) or 0),
            "toleratedFailurePercentage": self.percent, "toleratedFailureCount": self.count, "redriveCount": 0,
            "itemCounts": {**zero, "total": len(items), "pending": len(items)},
            "executionCounts": {**zero, "total": len(self.inputs), "pending": len(self.inputs)},
            "_stateMachineArn": f"{self.scope}:stateMachine:{self.name}/{self.label}",
        }
        states._map_runs[self.run["mapRunArn"]] = self.run
        self.children, self.lock = [None] * len(self.inputs), threading.Condition()

    def count_items(self, at, before, after):
        for counts, weight in ((self.run["itemCounts"], self.inputs[at][1]), (self.run["executionCounts"], 1)):
            counts[before] -= weight
            counts[after] += weight

    def going(self):
        return self.execution["status"] == "RUNNING"

    def slots(self):
        limit = self.run["maxConcurrency"]
        return min(limit, CHILDREN) if limit else CHILDREN

    def child(self, at):
        given, weight = self.inputs[at]
        name = states.new_uuid()
        started = states.now_iso()
        arn = f"{self.scope}:execution:{self.name}/{self.label}:{name}"
        if self.express:
            arn = f"{self.scope}:express:{self.name}/{self.label}:{name}:{states.new_uuid()}"
        child = {
            "executionArn": arn, "stateMachineArn": self.run["_stateMachineArn"], "name": name, "status": "RUNNING",
            "startDate": started, "stopDate": None, "input": json.dumps(given), "inputDetails": {"included": True}, "output": None,
            "outputDetails": {"included": True}, "mapRunArn": self.run["mapRunArn"], "itemCount": weight, "events": [],
            "testCase": "", "mockAttempts": {},
        }
        self.children[at] = child
        states._executions[arn] = child
        ctx = copy.deepcopy(self.ctx)
        ctx.pop("Map", None)
        ctx["Execution"] = {"Id": arn, "Name": name, "StartTime": started, "Input": given, "RoleArn": "", "RedriveCount": 0}
        ended = queue.Queue()

        def work():
            try:
                if size(given) > PAYLOAD:
                    raise states._ExecutionError("States.DataLimitExceeded", "the input of a child is larger than 256 KiB")
                ended.put(("SUCCEEDED", run_states(self.iterator, given, child, ctx, self.going), None))
            except states._ExecutionError as error:
                ended.put(("FAILED", None, error))
            except Stopped:
                ended.put(("ABORTED", None, None))
            except Exception as error:  # noqa: BLE001: a fault of the engine is told as one of the child
                ended.put(("FAILED", None, states._ExecutionError("States.Runtime", repr(error))))

        copied = contextvars.copy_context()
        threading.Thread(target=copied.run, args=(work,), daemon=True).start()
        try:
            status, output, error = ended.get(timeout=EXPRESS_SECONDS if self.express else None)
        except queue.Empty:
            status, output, error = "TIMED_OUT", None, states._ExecutionError("States.Timeout", "an express child ends after 5 minutes")
        child.update(status=status, stopDate=states.now_iso())
        if status == "SUCCEEDED":
            child["output"] = json.dumps(output)
        elif error:
            child.update(error=error.error, cause=error.cause)
        after = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}[status]
        with self.lock:
            self.count_items(at, "running", after)

    def go(self):
        """Hands out all; the ones that were never begun stay pending."""
        running, next_, threads = [0], 0, []

        def one(at):
            try:
                self.child(at)
            finally:
                with self.lock:
                    running[0] -= 1
                    self.lock.notify_all()

        while next_ < len(self.inputs):
            with self.lock:
                while running[0] >= self.slots() and self.going():
                    self.lock.wait(0.2)
                if not self.going():
                    break
                running[0] += 1
                self.count_items(next_, "pending", "running")
            copied = contextvars.copy_context()
            thread = threading.Thread(target=copied.run, args=(one, next_), daemon=True)
            thread.start()
            threads.append(thread)
            next_ += 1
        for thread in threads:
            thread.join()

    def ended(self):
        failed = self.run["itemCounts"]["failed"] + self.run["itemCounts"]["timedOut"]
        total = self.run["itemCounts"]["total"]
        beyond = failed * 100 > self.percent * total if self.percent else failed > self.count
        self.run["status"] = "ABORTED" if not self.going() else "FAILED" if beyond else "SUCCEEDED"
        self.run["stopDate"] = states.now_iso()
        return beyond

    def write(self, writer, given, ctx):
        """What ResultWriter leaves behind."""
        where = states._resolve_params_obj(writer.get("Parameters") or {}, given, ctx)
        prefix = where.get("Prefix", "").strip("/")
        folder = f"{prefix}/{self.uuid}" if prefix else self.uuid
        files = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
        for at, (given_, _) in enumerate(self.inputs):
            child = self.children[at]
            status = child["status"] if child else "PENDING"
            entry = {"Input": json.dumps(given_), "InputDetails": {"Included": True}, "Status": status}
            if child:
                entry.update(ExecutionArn=child["executionArn"], Name=child["name"], StateMachineArn=child["stateMachineArn"],
                             StartDate=child["startDate"], StopDate=child["stopDate"], RedriveCount=0,
                             RedriveStatus="NOT_REDRIVABLE" if status == "SUCCEEDED" else "REDRIVABLE",
                             OutputDetails={"Included": True})
                if child.get("output") is not None:
                    entry["Output"] = child["output"]
                if child.get("error"):
                    entry.update(Error=child["error"], Cause=child.get("cause") or "")
            files[status if status in ("SUCCEEDED", "PENDING") else "FAILED"].append(entry)
        lists = {}
        for kind, entries in files.items():
            lists[kind] = []
            if entries:
                body = json.dumps(entries).encode()
                key = f"{folder}/{kind}_0.json"
                S3.put_object(Bucket=where["Bucket"], Key=key, Body=body)
                lists[kind].append({"Key": key, "Size": len(body)})
        manifest = {"DestinationBucket": where["Bucket"], "MapRunArn": self.run["mapRunArn"], "ResultFiles": lists}
        S3.put_object(Bucket=where["Bucket"], Key=f"{folder}/manifest.json", Body=json.dumps(manifest).encode())
        self.run["itemCounts"]["resultsWritten"] = self.run["itemCounts"]["total"]
        self.run["executionCounts"]["resultsWritten"] = self.run["executionCounts"]["total"]
        return {"MapRunArn": self.run["mapRunArn"], "ResultWriterDetails": {"Bucket": where["Bucket"], "Key": f"{folder}/manifest.json"}}


class Stopped(Exception):
    """The execution was stopped."""


def run_states(machine, given, execution, ctx, going):
    """As ministack's runner of children, but it ends when the execution is stopped, and large results fail."""
    name, value = machine.get("StartAt"), copy.deepcopy(given)
    while name:
        if not going():
            raise Stopped
        state = machine["States"][name]
        if state["Type"] in ("Succeed", "Fail"):
            return states._run_sub_machine(machine["States"], name, value, execution, ctx)
        ctx["State"] = {"Name": name, "EnteredTime": states.now_iso(), "RetryCount": 0}
        handler = {"Pass": states._execute_pass, "Task": states._execute_task, "Choice": states._execute_choice,
                   "Wait": states._execute_wait, "Parallel": states._execute_parallel, "Map": states._execute_map}[state["Type"]]
        if state["Type"] in ("Task", "Parallel", "Map"):
            value, name = handler(state, value, execution, ctx)
        else:
            value, name = handler(state, value, ctx)
    return value


def distributed_map(state, raw, effective, iterator, execution, ctx):
    run = MapRun(state, iterator, effective, execution, ctx)
    run.go()
    beyond = run.ended()
    result = run.write(state["ResultWriter"], effective, ctx) if state.get("ResultWriter") else [
        json.loads(child["output"]) if child and child["output"] else None for child in run.children
    ]
    if beyond and execution["status"] == "RUNNING":
        raise states._ExecutionError("States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded")
    if size(result) > PAYLOAD:
        raise states._ExecutionError("States.DataLimitExceeded", "the results of all children are larger than 256 KiB")
    result = states._apply_result_selector(state, result)
    output = states._apply_output_path(state, states._apply_result_path(state, raw, result), ctx)
    return output, states._next_or_end(state)


# --------------------------------------------------------------------------------------------------- 6. the version's own


def pinned(run_execution):
    """Runs what the execution was started on, not the newest definition."""

    class One:
        def __init__(self, machine):
            self.machine = machine

        def get(self, _arn):
            return self.machine

    def run(arn):
        execution = states._executions.get(arn)
        version = states._state_machine_versions.get(execution.get("stateMachineVersionArn") or "")
        if not version:
            return run_execution(arn)
        machine = {**states._state_machines[execution["stateMachineArn"]], "definition": version["definition"]}
        seen = {**vars(states), "_state_machines": One(machine)}
        return types.FunctionType(run_execution.__code__, seen)(arn)

    return run


def start_on(start):
    def started(data):
        asked = data.get("stateMachineArn", "")
        if len(data.get("input", "{}").encode()) > PAYLOAD:
            return states.error_response_json("InvalidExecutionInput", "the input is larger than 256 KiB", 400)
        answer = start(data)
        if answer[0] == 200:
            execution = states._executions[json.loads(answer[2])["executionArn"]]
            version = states._execution_version_arn(asked)
            if version:
                execution["stateMachineVersionArn"] = version
            if asked in states._state_machine_aliases:
                execution["stateMachineAliasArn"] = asked
        return answer

    return started


def described(describe):
    def told(data):
        status, headers, body = describe(data)
        execution = states._executions.get(data.get("executionArn"))
        if status == 200 and execution:
            more = {name: execution[name] for name in ("stateMachineVersionArn", "stateMachineAliasArn") if name in execution}
            body = json.dumps({**json.loads(body), **more}).encode()
        return status, headers, body

    return told


def machine_of(describe):
    """The definition that an execution runs, not the newest."""

    def told(data):
        status, headers, body = describe(data)
        execution = states._executions.get(data.get("executionArn"))
        version = states._state_machine_versions.get((execution or {}).get("stateMachineVersionArn") or "")
        if status == 200 and version:
            body = json.dumps({**json.loads(body), "definition": version["definition"]}).encode()
        return status, headers, body

    return told


def sleep_until(stamp):
    """The engine's, but never shortened: a worker that says when it may go on is not asked before that."""
    until = states.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    time.sleep(max(0.0, (until - states.datetime.now(states.timezone.utc)).total_seconds()))


# ----------------------------------------------------------------------------------------------- 7. and 9. the functions

log_lock = threading.Lock()


def log(**entry):
    with log_lock, (FOLDER / "invocations.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


def fault(kind):
    """What `rig.py fault` asked for, one less of it: faults/KIND.json `{"times", "every"?, …}`."""
    path = FOLDER / "faults" / f"{kind}.json"
    with log_lock:
        try:
            asked = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        asked["seen"] = asked.get("seen", 0) + 1
        hit = asked["times"] > 0 and asked["seen"] % asked.get("every", 1) == 0
        asked["times"] -= 1 if hit else 0
        path.write_text(json.dumps(asked))
        return asked if hit else None


def second(call, reference, event):
    try:
        call(reference, event)
    except states._ExecutionError:
        pass


def called(call):
    def told(reference, event):
        kind = "gate" if "Gate" in event else "worker"
        if kind == "worker" and fault("throttle"):
            log(kind=kind, status="throttled", at=time.time())
            raise states._ExecutionError("Lambda.TooManyRequestsException", "Rate Exceeded.")
        if size(event) > PAYLOAD:
            raise states._ExecutionError("States.DataLimitExceeded", "the input of a task is larger than 256 KiB")
        other = None
        if kind == "worker" and fault("twice"):
            # AWS may run a worker twice, even at once; one of the answers counts.
            other = threading.Thread(target=contextvars.copy_context().run, args=(second, call, reference, event))
            other.start()
        try:
            answer = call(reference, event)
        except states._ExecutionError as error:
            if error.error == "Lambda.Unknown" and "TooManyRequestsException" in error.cause:
                log(kind=kind, status="throttled", at=time.time())
                raise states._ExecutionError("Lambda.TooManyRequestsException", error.cause) from error
            raise
        if other:
            other.join()
        if size(answer) > PAYLOAD:
            raise states._ExecutionError("States.DataLimitExceeded", "the result of a task is larger than 256 KiB")
        return answer

    return told


def resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def invoked(invoke):
    def told(worker, event, request_id, **more):
        items = event.get("Items") if isinstance(event, dict) else None
        entry = {"kind": "worker" if items is not None else "gate" if isinstance(event, dict) and "Gate" in event else "other",
                 "function": worker.func_name, "version": worker.config.get("Version"), "request": request_id, "at": time.time()}
        if items is not None:
            given = event.get("BatchInput") or {}
            entry.update(items=len(items), first=items[0].get("index") if items else None, again=(given.get("asked") or {}).get("again"),
                         batch=given.get("batch"), round=given.get("round"), run=given.get("run"))
            if not (FOLDER / "event.json").exists():
                (FOLDER / "event.json").write_text(json.dumps(event))
        kill = fault("kill") if items is not None else None
        freeze = fault("freeze") if items is not None else None
        limit = worker.config.get("MemorySize", 128) * 1024**2
        done, peak, killed = threading.Event(), [0], [None]

        def watch():
            began = time.monotonic()
            while not done.wait(0.01):
                process = worker._proc
                if process is None:
                    continue
                peak[0] = max(peak[0], resident(process.pid))
                if peak[0] > limit:
                    killed[0] = "memory"
                elif kill and time.monotonic() - began > kill.get("after", 0.2):
                    killed[0] = "killed"
                elif freeze and time.monotonic() - began > freeze.get("after", 0.2):
                    # It hangs until its time is over.
                    process.send_signal(signal.SIGSTOP)
                    return
                if killed[0]:
                    try:
                        process.send_signal(signal.SIGKILL)
                    except OSError:
                        pass
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            result = invoke(worker, event, request_id, **more)
        finally:
            done.set()
            watcher.join()
        error = (result.get("error_payload") or {}).get("errorType") if result.get("status") != "ok" else None
        if error == "Runtime.ExitError":
            result["error_payload"]["errorMessage"] = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
        answer = result.get("result")
        if isinstance(answer, dict):
            entry["answer"] = {name: answer[name] for name in ("counts", "wait_until", "verdict", "summary") if name in answer}
        entry.update(ms=round((time.time() - entry["at"]) * 1000), cold=result.get("cold_start"), peak=peak[0],
                     status=killed[0] or error or "ok")
        log(**entry)
        if result.get("log"):
            with log_lock, (FOLDER / "functions.log").open("a") as file:
                file.write(result["log"] + "\n")
        return result

    return told


def reserved(_function, config):
    """Reserved concurrency is the function's, whichever version is invoked (ministack asks the version)."""
    function = lambdas._functions.get(config.get("FunctionName")) or {}
    return function.get("concurrency")


def program_of(unpack):
    """With a `bootstrap` in the rig's folder, functions run that program: a debug build is too large to be packed for each test."""

    def unpacked(code):
        folder = Path(unpack(code))
        program, packed = FOLDER / "bootstrap", folder / "bootstrap"
        # Scripts are what they are.
        if program.exists() and not packed.is_symlink() and packed.read_bytes()[:4] == b"\x7fELF":
            link = folder / f"bootstrap-{threading.get_ident()}"
            link.symlink_to(program.resolve())
            link.replace(packed)
        return str(folder)

    return unpacked


def environment(make):
    """A function's own, as on AWS: no variable of the rig gets in but where the endpoints are, and what environment.json says."""
    endpoints = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")

    def made(config, code_dir, port):
        reserved = ("AWS_", "LAMBDA_", "_HANDLER", "_X_AMZN", "PATH", "LANG", "TZ")
        own = lambdas._runtime_env_vars(config)
        full = make(config, code_dir, port)
        kept = {name: value for name, value in full.items() if name.startswith(reserved) or name in own}
        more = FOLDER / "environment.json"
        given = json.loads(more.read_text()) if more.exists() else {}
        return {**kept, **{name: os.environ[name] for name in endpoints}, **given}

    return made


# ------------------------------------------------------------------------------------------- 8. what else of AWS is asked


def answered(answer, what):
    if answer[0] >= 400:
        raise ValueError(f"{what}: {answer[2].decode()}")
    return json.loads(answer[2])


def version_create(logical_id, props, stack_name):
    arn = props["StateMachineArn"]
    for version in states._state_machine_versions.values():
        if version["stateMachineArn"] == arn and version["stateMachineRevisionId"] == states._state_machines[arn]["revisionId"]:
            made = version["stateMachineVersionArn"]
            return made, {"Arn": made}
    data = {"stateMachineArn": arn, "description": props.get("Description", "")}
    if props.get("StateMachineRevisionId"):
        data["revisionId"] = props["StateMachineRevisionId"]
    made = answered(states._publish_state_machine_version(data), "the version")["stateMachineVersionArn"]
    return made, {"Arn": made}


def version_delete(physical_id, props):
    states._delete_state_machine_version({"stateMachineVersionArn": physical_id})


def routing(props):
    if "DeploymentPreference" in props:
        return [{"stateMachineVersionArn": props["DeploymentPreference"]["StateMachineVersionArn"], "weight": 100}]
    return [{"stateMachineVersionArn": one["StateMachineVersionArn"], "weight": int(one["Weight"])}
            for one in props["RoutingConfiguration"]]


def alias_create(logical_id, props, stack_name):
    data = {"name": props.get("Name") or logical_id, "routingConfiguration": routing(props)}
    made = answered(states._create_state_machine_alias(data), "the alias")["stateMachineAliasArn"]
    return made, {"Arn": made}


def alias_update(physical_id, old, new, stack_name, logical_id=None):
    answered(states._update_state_machine_alias({"stateMachineAliasArn": physical_id, "routingConfiguration": routing(new)}), "the alias")
    return physical_id, {"Arn": physical_id}


def alias_delete(physical_id, props):
    states._delete_state_machine_alias({"stateMachineAliasArn": physical_id})


QUOTAS = {
    ("lambda", "L-B99A9384"): ("Concurrent executions", 1000.0),
    ("states", "L-5E6B1FA2"): ("Open map runs", 1000.0),
}


async def quotas(target, body):
    asked = json.loads(body or b"{}")
    changed = FOLDER / "quotas.json"
    values = json.loads(changed.read_text()) if changed.exists() else {}

    def one(service, code):
        name, value = QUOTAS[(service, code)]
        return {"ServiceCode": service, "QuotaCode": code, "QuotaName": name, "Value": values.get(code, value), "Adjustable": True,
                "QuotaArn": f"arn:aws:servicequotas:us-east-1:000000000000:{service}/{code}"}

    known = (asked.get("ServiceCode"), asked.get("QuotaCode"))
    if target in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        if known in QUOTAS:
            return 200, {"Quota": one(*known)}
        return 400, {"__type": "NoSuchResourceException", "Message": f"no such quota: {known}"}
    if target == "ListServiceQuotas":
        return 200, {"Quotas": [one(*key) for key in QUOTAS if key[0] == asked.get("ServiceCode")]}
    return 400, {"__type": "InvalidAction", "Message": target}


def with_quotas(serve):
    async def served(scope, receive, send):
        target = dict(scope.get("headers") or []).get(b"x-amz-target", b"").decode()
        if scope["type"] != "http" or not target.startswith("ServiceQuotas"):
            return await serve(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, answer = await quotas(target.split(".")[1], body)
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return served


def main():
    own_s3._get_object_data = object_data
    handlers = provisioners._RESOURCE_HANDLERS
    bucket = handlers["AWS::S3::Bucket"]
    bucket["create"], bucket["delete"] = make_bucket_too(bucket["create"]), remove_bucket_too(bucket["delete"])
    handlers["AWS::StepFunctions::StateMachineVersion"] = {"create": version_create, "delete": version_delete}
    handlers["AWS::StepFunctions::StateMachineAlias"] = {"create": alias_create, "update": alias_update, "delete": alias_delete}

    states._run_distributed_map = distributed_map
    states._run_execution = pinned(states._run_execution)
    states._start_execution = start_on(states._start_execution)
    states._describe_execution = described(states._describe_execution)
    states._describe_state_machine_for_execution = machine_of(states._describe_state_machine_for_execution)
    states._sleep_until = sleep_until
    states._call_lambda = called(states._call_lambda)

    lambdas._provided_worker_env = environment(lambdas._provided_worker_env)
    lambdas._provided_runtime_code_dir = program_of(lambdas._provided_runtime_code_dir)
    lambdas._reserved_concurrency = reserved
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    runtime.execution_credentials = lambdas.execution_credentials = lambda config: keys
    runtime.ProvidedWorker.invoke = invoked(runtime.ProvidedWorker.invoke)

    app.app = with_quotas(app.app)
    sys.argv = ["ministack"]
    app.main()


if __name__ == "__main__":
    main()
