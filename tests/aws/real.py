"""What tests/aws/real.sh does, on whatever account and endpoints the environment names."""

import contextlib
import datetime
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

TOP = Path(__file__).resolve().parents[2]
PHOTOS = int(os.environ.get("FANFOLD_REAL_PHOTOS", "8088"))
DAMAGED = sorted({7 + at * (PHOTOS // 60) for at in range(PHOTOS * 50 // 8088)})
FIXTURES = Path(os.environ.get("FANFOLD_REAL_FIXTURES", TOP / "tests/aws/fixtures")) / datetime.date.today().isoformat()
NAME = f"real-{int(time.time()):x}"


def client(service):
    return boto3.client(service, config=Config(max_pool_connections=32, retries={"mode": "standard", "max_attempts": 8}))


s3, states, cloud, functions, iam = (client(name) for name in ("s3", "stepfunctions", "cloudformation", "lambda", "iam"))
ACCOUNT = client("sts").get_caller_identity()["Account"]
REGION = s3.meta.region_name
BUCKETS = {what: f"fanfold-{NAME}-{ACCOUNT}-{what}" for what in ("photos", "here", "there")}


def keep(name, value):
    """A fixture: what AWS answered, without whose account it was."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    if isinstance(value, dict):
        value.pop("ResponseMetadata", None)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, default=str) + "\n"
    (FIXTURES / name).write_text(text.replace(ACCOUNT, "123456789012"))


def write_photos(folder):
    samples = [path.read_bytes() for path in sorted((TOP / "workflows/samples/photos").rglob("*.jpg"))]
    folder.mkdir()
    for at in range(PHOTOS):
        photo = samples[at % len(samples)]
        (folder / f"{at:05}.jpg").write_bytes(photo[: len(photo) // 2] if at in DAMAGED else photo)
    return samples


def upload(folder):
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda path: s3.upload_file(str(path), BUCKETS["photos"], f"in/{path.name}"), sorted(folder.iterdir())))


def make_bucket(name):
    place = {} if REGION == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    s3.create_bucket(Bucket=name, **place)


def empty_bucket(name):
    with contextlib.suppress(ClientError):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in page.get("Versions", []) + page.get("DeleteMarkers", [])]
            if found:
                s3.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            found = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if found:
                s3.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
        s3.delete_bucket(Bucket=name)


class Fanfold:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def __call__(self, code, *args):
        print("$ fanfold", *args, flush=True)
        done = subprocess.run([self.program, *args], cwd=self.work, stdout=subprocess.PIPE, text=True)
        if done.returncode != code:
            sys.exit(f"ended with {done.returncode}, not {code}: {done.stdout[-2000:]}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def outcomes(self, run):
        """Every item's, without where its thumbnail is and when the object was written, which are not the outcome's."""
        lines = self(0, "results", run)
        for line in lines:
            if isinstance(line.get("output"), dict):
                line["output"].pop("destination", None)
        return sorted(lines, key=lambda line: line["index"])


def same(here, there, what):
    different = [(a, b) for a, b in zip(here, there) if a != b]
    if len(here) != len(there) or different:
        keep("different.json", different[:20])
        sys.exit(f"{what}: {len(here)} and {len(there)} outcomes, {len(different)} of them differ; see {FIXTURES}/different.json")
    print(f"{what}: {len(there)} outcomes, all as on this machine")


def workflow(work, name, batch):
    text = (TOP / "workflows/resize-photos.yaml").read_text().replace("name: resize-photos", f"name: {name}")
    (work / f"{name}.yaml").write_text(text.replace("max_items: 100", f"max_items: {batch}") + f"aws: {{ region: {REGION} }}\n")
    return f"{name}.yaml"


def answers(name, run, batch):
    """What AWS says of a run."""
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}"
    execution = states.describe_execution(executionArn=f"{machine}:execution:{name}:{run}")
    keep(f"execution-{batch}.json", execution)
    listed = states.list_map_runs(executionArn=execution["executionArn"])
    keep(f"map-runs-{batch}.json", listed)
    counts = states.describe_map_run(mapRunArn=listed["mapRuns"][0]["mapRunArn"])
    keep(f"map-run-{batch}.json", counts)
    if counts["executionCounts"]["total"] != -(-PHOTOS // batch):
        sys.exit(f"{counts['executionCounts']} children at batch {batch}")
    events = states.get_execution_history(executionArn=execution["executionArn"])["events"]
    keep(f"history-{batch}.json", [event["type"] for event in events])
    bucket = next(output["OutputValue"] for output in stack(name)["Outputs"] if output["OutputKey"] == "ResultsBucket")
    keep(f"report-{batch}.json", s3.get_object(Bucket=bucket, Key=f"{name}/{run}/report.json")["Body"].read().decode())
    files = [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{name}/{run}/")
             for one in page.get("Contents", [])]
    keep(f"files-{batch}.json", files)
    manifest = next(key for key in files if key.endswith("/manifest.json"))
    keep(f"manifest-{batch}.json", s3.get_object(Bucket=bucket, Key=manifest)["Body"].read().decode())
    written = next(key for key in files if re.search(r"/SUCCEEDED_0\.json$", key))
    child = json.loads(s3.get_object(Bucket=bucket, Key=written)["Body"].read())[0]
    given = json.loads(child["Input"])
    given["Items"] = given["Items"][:2]
    keep(f"child-{batch}.json", {**child, "Input": given})
    return bucket


def stack(name):
    return cloud.describe_stacks(StackName=f"fanfold-{name}")["Stacks"][0]


def error_names(held):
    """What Step Functions calls a worker that dies, is late, and is throttled."""
    role = f"fanfold-{NAME}"
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
        "Service": ["lambda.amazonaws.com", "states.amazonaws.com"]}}]}
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fanfold-{NAME}-*"}]}
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    held.callback(iam.delete_role, RoleName=role)
    iam.put_role_policy(RoleName=role, PolicyName="invoke", PolicyDocument=json.dumps(policy))
    held.callback(iam.delete_role_policy, RoleName=role, PolicyName="invoke")
    # A role is not known everywhere at once.
    time.sleep(0 if "AWS_ENDPOINT_URL" in os.environ else 15)
    next_ = "curl -s http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next >/dev/null"
    kinds = {
        "exits": (f"#!/bin/sh\n{next_}\nexit 1\n", None),
        "killed": (f"#!/bin/sh\n{next_}\nkill -9 $$\n", None),
        "late": (f"#!/bin/sh\n{next_}\nsleep 20\n", None),
        "throttled": ("#!/bin/sh\nexit 0\n", 0),
    }
    found = {}
    for kind, (script, reserved) in kinds.items():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            file.writestr(entry, script)
        name = f"fanfold-{NAME}-{kind}"
        function = functions.create_function(FunctionName=name, Runtime="provided.al2023", Role=arn, Handler="bootstrap", Timeout=3,
                                             Code={"ZipFile": packed.getvalue()})["FunctionArn"]
        held.callback(functions.delete_function, FunctionName=name)
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        if reserved is not None:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
        definition = {"StartAt": "Work", "States": {"Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True,
                                                             "Parameters": {"FunctionName": function, "Payload": {}}}}}
        machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=arn)["stateMachineArn"]
        held.callback(states.delete_state_machine, stateMachineArn=machine)
        execution = states.start_execution(stateMachineArn=machine)["executionArn"]
        while (ended := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            time.sleep(0.5)
        found[kind] = {"error": ended.get("error"), "cause": ended.get("cause")}
    keep("error-names.json", found)
    print(json.dumps(found, indent=2))


def main(program):
    with contextlib.ExitStack() as held:
        work = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="fanfold-real-")))
        clean = held.enter_context(contextlib.ExitStack())
        fanfold = Fanfold(program, work)
        for bucket in BUCKETS.values():
            make_bucket(bucket)
            clean.callback(empty_bucket, bucket)
        samples = write_photos(work / "photos")
        upload(work / "photos")
        bootstrap = ["--bootstrap", os.environ["FANFOLD_BOOTSTRAP"]] if "FANFOLD_BOOTSTRAP" in os.environ else []
        source = f"source=s3://{BUCKETS['photos']}/in/"

        file = workflow(work, f"{NAME}-here", 100)
        fanfold(1, "run", file, "-p", source, "-p", f"destination=s3://{BUCKETS['here']}/", "--as", "here")
        here = fanfold.outcomes("here")
        failed = [line["index"] for line in here if line["status"] == "failed"]
        if failed != DAMAGED:
            sys.exit(f"{failed} failed on this machine, not {DAMAGED}")

        for batch in (100, 10):
            name = f"{NAME}-{batch}"
            file = workflow(work, name, batch)
            given = ["-p", source, "-p", f"destination=s3://{BUCKETS['there']}/"]
            fanfold(0, "deploy", file, *given, *bootstrap)
            # Last of all, when the run is no more: its results.
            outputs = {output["OutputKey"]: output["OutputValue"] for output in stack(name)["Outputs"]}
            clean.callback(empty_bucket, outputs["ResultsBucket"])
            clean.callback(fanfold, 0, "destroy", file)
            began = time.monotonic()
            run = f"real-{batch}"
            fanfold(1, "run", file, "--on", "aws", "--as", run)
            print(f"batch {batch}: {time.monotonic() - began:.1f} s")
            answers(name, run, batch)
            same(here, fanfold.outcomes(run), f"batch {batch}")

        shutil.rmtree(work / "photos")
        (work / "photos").mkdir()
        for at in DAMAGED:
            (work / "photos" / f"{at:05}.jpg").write_bytes(samples[at % len(samples)])
        upload(work / "photos")
        fanfold(0, "redrive", "real-100")
        again = fanfold.outcomes("real-100")
        tries = {line["index"]: line["attempts"] for line in again}
        if any(line["status"] != "succeeded" for line in again):
            sys.exit("not all succeeded after the redrive")
        touched = [line["index"] for line in here if tries[line["index"]] != line["attempts"]]
        if touched != DAMAGED:
            sys.exit(f"the redrive touched {touched}, not {DAMAGED}")
        print(f"redrive: {len(touched)} items touched, all succeeded")
        error_names(clean)
        if os.environ.get("FANFOLD_REAL_KEEP") == "yes":
            clean.pop_all()
        print(f"the answers are in {FIXTURES}")


if __name__ == "__main__":
    main(sys.argv[1])
