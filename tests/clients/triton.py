"""Calls every method of tritonclient against a server that has the bundled model `digits`.

    python triton.py ADDRESS --token TOKEN [--missing STEP,STEP]

Prints one line a step and exits with 1 if a step did not end as it should. Over HTTP tensors go as bytes,
and then as JSON. `--token` opens the model repository. A step whose name begins with one of those that are missing must fail, for the
server does not have what it asks for; `*.` stands for all four clients.
"""

import argparse
import asyncio
import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.utils import InferenceServerException

MODEL = "digits"
SERVICE = "inference.GRPCInferenceService"
# What an operator's calls have in addition.
OPERATOR = {}
PIXELS = (np.arange(64, dtype=np.float32) / 64).reshape(1, 1, 8, 8)


class Steps:
    """What was tried, and how it ended."""

    def __init__(self, missing):
        self.missing = tuple(missing)
        self.failed = 0

    def run(self, name, call):
        try:
            result = call()
            self.ended(name, None, result)
        except Exception as error:  # Whatever it is, the other steps are of interest too.
            self.ended(name, error, None)

    async def wait(self, name, call):
        try:
            result = await call()
            self.ended(name, None, result)
        except Exception as error:
            self.ended(name, error, None)

    def ended(self, name, error, _result):
        is_missing = any(is_of(name, pattern) for pattern in self.missing)
        if is_missing and error is not None:
            print(f"ok   {name}: refused")
        elif not is_missing and error is None:
            print(f"ok   {name}")
        else:
            self.failed += 1
            what = "it works, take it off the list of what is missing" if error is None else repr(error)
            print(f"FAIL {name}: {what}")


def is_of(name, pattern):
    """Whether a step is one of these; `*.x` is x of all four clients."""
    kind, _, rest = pattern.partition(".")
    return name.startswith(pattern) or (kind == "*" and f".{rest}" in name)


def true(answer):
    if answer is not True:
        raise AssertionError(f"answered {answer!r}")


def false(answer):
    if answer is not False:
        raise AssertionError(f"answered {answer!r}")


def check_scores(result, raw):
    scores = result.as_numpy("scores")
    assert scores is not None and scores.shape == (1, 10), scores
    if raw is not None:
        assert np.allclose(scores, raw, rtol=1e-5, atol=1e-6), (scores, raw)
    return scores


def refused(call):
    """A call that must be refused, and in words."""
    try:
        call()
    except InferenceServerException as error:
        assert error.message(), error
        return
    raise AssertionError("it was not refused")


async def refused_aio(call):
    try:
        await call()
    except InferenceServerException as error:
        assert error.message(), error
        return
    raise AssertionError("it was not refused")


def inputs_of(module, binary=None):
    tensor = module.InferInput("image", [1, 1, 8, 8], "FP32")
    if binary is None:
        tensor.set_data_from_numpy(PIXELS)
    else:
        tensor.set_data_from_numpy(PIXELS, binary_data=binary)
    return [tensor]


def outputs_of(module, binary=None, classes=0):
    if binary is None:
        return [module.InferRequestedOutput("scores", class_count=classes)]
    return [module.InferRequestedOutput("scores", binary_data=binary, class_count=classes)]


def metadata_steps(kind, client):
    """The methods without tensors, which all four clients have: name and call."""
    return [
        (f"{kind}.is_server_live", lambda: client.is_server_live(), true),
        (f"{kind}.is_server_ready", lambda: client.is_server_ready(), true),
        (f"{kind}.is_model_ready", lambda: client.is_model_ready(MODEL), true),
        (f"{kind}.is_model_ready.version", lambda: client.is_model_ready(MODEL, "1"), true),
        (f"{kind}.is_model_ready.unknown", lambda: client.is_model_ready("nobody"), false),
        (f"{kind}.server_metadata", lambda: client.get_server_metadata(), None),
        (f"{kind}.model_metadata", lambda: client.get_model_metadata(MODEL), None),
        (f"{kind}.model_config", lambda: client.get_model_config(MODEL), None),
        (f"{kind}.statistics", lambda: client.get_inference_statistics(), None),
        (f"{kind}.statistics.model", lambda: client.get_inference_statistics(MODEL), None),
        (
            f"{kind}.repository_index",
            lambda: client.get_model_repository_index(headers=OPERATOR),
            None,
        ),
        (f"{kind}.unload_model", lambda: client.unload_model(MODEL, headers=OPERATOR), None),
        (f"{kind}.is_model_ready.unloaded", lambda: client.is_model_ready(MODEL), false),
        (f"{kind}.load_model", lambda: client.load_model(MODEL, headers=OPERATOR), None),
        (f"{kind}.is_model_ready.loaded", lambda: client.is_model_ready(MODEL), true),
        (f"{kind}.trace_settings", lambda: client.get_trace_settings(), None),
        (f"{kind}.update_trace_settings", lambda: client.update_trace_settings(settings={}), None),
        (f"{kind}.log_settings", lambda: client.get_log_settings(), None),
        (f"{kind}.update_log_settings", lambda: client.update_log_settings({}), None),
        (f"{kind}.system_shared_memory.status", lambda: client.get_system_shared_memory_status(), None),
        (
            f"{kind}.system_shared_memory.register",
            lambda: client.register_system_shared_memory("mine", "/mine", 64),
            None,
        ),
        (
            f"{kind}.system_shared_memory.unregister",
            lambda: client.unregister_system_shared_memory("mine"),
            None,
        ),
        (f"{kind}.cuda_shared_memory.status", lambda: client.get_cuda_shared_memory_status(), None),
        (
            f"{kind}.cuda_shared_memory.register",
            lambda: client.register_cuda_shared_memory("mine", b"bWluZQ==", 0, 64),
            None,
        ),
        (
            f"{kind}.cuda_shared_memory.unregister",
            lambda: client.unregister_cuda_shared_memory("mine"),
            None,
        ),
    ]


def infer_steps(kind, module, client, binary, plain):
    """Inferences in all forms, which all four clients have: name, call, check."""
    scores = lambda result: check_scores(result, plain)
    inputs, outputs = inputs_of(module, binary), outputs_of(module, binary)
    # Clients of gRPC know one form only.
    forms = [("", lambda: client.infer(MODEL, inputs, outputs=outputs), scores)]
    if binary is not False:
        forms.append((".all_outputs", lambda: client.infer(MODEL, inputs), scores))
    grpc_only = {"client_timeout": 10} if "grpc" in kind else {}
    encoded = "compression_algorithm" if "grpc" in kind else "request_compression_algorithm"
    compressed = lambda name: {encoded: name}
    answers = {} if "grpc" in kind else {"response_compression_algorithm": "gzip"}
    return [(f"{kind}.infer{form}", call, check) for form, call, check in forms] + [
        (
            f"{kind}.infer.options",
            lambda: client.infer(
                MODEL,
                inputs,
                model_version="1",
                outputs=outputs,
                request_id="my id",
                parameters={"note": "kept by nobody"},
                **grpc_only,
            ),
            lambda result: (scores(result), same_id(result)),
        ),
        (
            f"{kind}.infer.gzip",
            lambda: client.infer(MODEL, inputs, outputs=outputs, **compressed("gzip"), **answers),
            scores,
        ),
        (
            f"{kind}.infer.deflate",
            lambda: client.infer(MODEL, inputs, outputs=outputs, **compressed("deflate"), **answers),
            scores,
        ),
        (
            f"{kind}.classification",
            lambda: client.infer(MODEL, inputs, outputs=outputs_of(module, binary, 3)),
            lambda result: check_classes(result),
        ),
    ]


def same_id(result):
    response = result.get_response()
    found = response["id"] if isinstance(response, dict) else response.id
    assert found == "my id", found


def check_classes(result):
    classes = result.as_numpy("scores")
    assert classes.shape[-1] == 3, classes
    # "value:index", and ":label" behind it where there are labels.
    assert all(b":" in text if isinstance(text, bytes) else ":" in text for text in classes.flatten())


def http_sync(steps, address, binary, plain):
    kind = "http"
    with http_client.InferenceServerClient(address) as client:
        for name, call, check in metadata_steps(kind, client) + infer_steps(
            kind, http_client, client, binary, plain
        ):
            steps.run(name, lambda: checked(call(), check))
        steps.run(
            f"{kind}.async_infer",
            lambda: check_scores(
                client.async_infer(
                    MODEL,
                    inputs_of(http_client, binary),
                    outputs=outputs_of(http_client, binary),
                ).get_result(),
                plain,
            ),
        )
        unknown = lambda: client.infer("nobody", inputs_of(http_client, binary))
        steps.run(f"{kind}.infer.unknown", lambda: refused(unknown))


def grpc_sync(steps, address):
    kind = "grpc"
    plain = None
    with grpc_client.InferenceServerClient(address) as client:
        plain = check_scores(client.infer(MODEL, inputs_of(grpc_client)), None)
        for name, call, check in metadata_steps(kind, client) + infer_steps(
            kind, grpc_client, client, None, plain
        ):
            steps.run(name, lambda: checked(call(), check))
        steps.run(f"{kind}.async_infer", lambda: grpc_async(client, plain))
        steps.run(f"{kind}.stream", lambda: grpc_stream(client, plain))
        unknown = lambda: client.infer("nobody", inputs_of(grpc_client))
        steps.run(f"{kind}.infer.unknown", lambda: refused(unknown))
    return plain


def grpc_async(client, plain):
    answers = queue.Queue()
    for _ in range(10):
        client.async_infer(
            MODEL, inputs_of(grpc_client), callback=lambda result, error: answers.put((result, error))
        )
    for _ in range(10):
        result, error = answers.get(timeout=30)
        assert error is None, error
        check_scores(result, plain)


def grpc_stream(client, plain):
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    names = [MODEL] * 5 + ["nobody"] + [MODEL] * 5
    for count, name in enumerate(names):
        client.async_stream_infer(name, inputs_of(grpc_client), request_id=str(count))
    for count, name in enumerate(names):
        result, error = answers.get(timeout=30)
        if name == "nobody":
            assert error is not None and "unknown_model" in str(error), error
            continue
        assert error is None, error
        check_scores(result, plain)
        assert result.get_response().id == str(count), "answers are out of order"
    client.stop_stream()


def services(steps, address):
    """What load balancers and tools like grpcurl ask, with gRPC's own clients."""
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ["", SERVICE]:
            request = health_pb2.HealthCheckRequest(service=service)
            serving = lambda: true(health.Check(request).status == health_pb2.HealthCheckResponse.SERVING)
            steps.run(f"health.{service}", serving)
        known = ProtoReflectionDescriptorDatabase(channel)
        steps.run("reflection.services", lambda: true(SERVICE in known.get_services()))
        methods = lambda: DescriptorPool(known).FindServiceByName(SERVICE).methods_by_name
        steps.run("reflection.methods", lambda: true("ModelInfer" in methods()))


def checked(result, check):
    if check is not None:
        check(result)
    return result


async def checked_aio(answer, check):
    return checked(await answer, check)


async def http_async(steps, address, binary, plain):
    kind = "http.aio"
    async with http_aio.InferenceServerClient(address) as client:
        for name, call, check in metadata_steps(kind, client) + infer_steps(
            kind, http_aio, client, binary, plain
        ):
            await steps.wait(name, lambda: checked_aio(call(), check))
        unknown = lambda: client.infer("nobody", inputs_of(http_aio, binary))
        await steps.wait(f"{kind}.infer.unknown", lambda: refused_aio(unknown))


async def grpc_aio_all(steps, address, plain):
    kind = "grpc.aio"
    async with grpc_aio.InferenceServerClient(address) as client:
        for name, call, check in metadata_steps(kind, client) + infer_steps(
            kind, grpc_aio, client, None, plain
        ):
            await steps.wait(name, lambda: checked_aio(call(), check))
        await steps.wait(f"{kind}.stream", lambda: grpc_aio_stream(client, plain))
        unknown = lambda: client.infer("nobody", inputs_of(grpc_aio))
        await steps.wait(f"{kind}.infer.unknown", lambda: refused_aio(unknown))


async def grpc_aio_stream(client, plain):
    async def requests():
        for count in range(5):
            yield {
                "model_name": MODEL,
                "inputs": inputs_of(grpc_aio),
                "request_id": str(count),
            }

    count = 0
    async for result, error in client.stream_infer(requests()):
        assert error is None, error
        check_scores(result, plain)
        assert result.get_response().id == str(count), "answers are out of order"
        count += 1
    assert count == 5, count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--token", required=True, help="of the model repository")
    parser.add_argument("--missing", default="")
    arguments = parser.parse_args()
    steps = Steps(name for name in arguments.missing.split(",") if name)
    OPERATOR["authorization"] = f"Bearer {arguments.token}"
    services(steps, arguments.address)
    plain = grpc_sync(steps, arguments.address)
    asyncio.run(grpc_aio_all(steps, arguments.address, plain))
    for binary in [True, False]:
        http_sync(steps, arguments.address, binary, plain)
        asyncio.run(http_async(steps, arguments.address, binary, plain))
    print(f"{steps.failed} steps failed")
    sys.exit(1 if steps.failed else 0)


if __name__ == "__main__":
    main()
