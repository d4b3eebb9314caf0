"""`marketd healthcheck`: for containers and load balancers, which run it every few seconds; it imports little."""

from __future__ import annotations

from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2

from marketd.commands.target import Ca, Target, Tls, credentials_of
from marketd.demo.addresses import no_answer


def command(
    target: Target,
    service: Annotated[str, typer.Option(help="A service by its full name.", show_default="the whole server")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, max=300, help="Seconds to wait for the answer.")] = 3.0,
    tls: Tls = False,
    ca: Ca = None,
    server_name: Annotated[
        str | None, typer.Option(help="The name in the server's certificate, where it is not the target's host.")
    ] = None,
) -> None:
    """Ask the server whether it serves, and answer by the exit code.

    Exits 0 when it is SERVING, 1 when it is not or does not answer in time, 2 when the command line is wrong.
    """
    credentials = credentials_of(tls=tls, ca=ca)
    options: list[tuple[str, str | int]] = [("grpc.enable_http_proxy", 0)]
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    if credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, credentials, options)
    what = f"{service} at {target}" if service else target
    with channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            _end(what, _failure(target, error, timeout), is_well=False)
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    _end(what, state, is_well=answer.status == health_pb2.HealthCheckResponse.SERVING)


def _failure(target: str, error: grpc.RpcError, timeout: float) -> str:
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer within {timeout:g} s"
        case grpc.StatusCode.NOT_FOUND:
            return "there is no such service"
        case grpc.StatusCode.UNAVAILABLE:
            return no_answer(target, str(error.details()))
    return " ".join(f"{error.code().name}: {error.details()}".split())


def _end(what: str, state: str, *, is_well: bool) -> None:
    typer.echo(f"{what}: {state}", err=not is_well)
    raise typer.Exit(0 if is_well else 1)
