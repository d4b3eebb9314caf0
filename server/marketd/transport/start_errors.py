"""What keeps a server from starting, in words that name the thing to mend. No refusals of calls here."""

from __future__ import annotations

from collections.abc import Iterable


class StartError(RuntimeError):
    """The server cannot start as it was put together; the message says what to change."""


class MethodsWithoutRule(StartError):
    """Methods of registered services whose access rule is missing or leaves something unspecified."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "These methods have no complete (marketplace.policy.v1.rule):\n"
            + "\n".join(f"  {problem}" for problem in self.problems)
        )


class HandlersUnfit(StartError):
    """Handlers that the chain cannot serve: not `async def`, collected twice, or unknown to the descriptors."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("These handlers cannot be served:\n" + "\n".join(f"  {problem}" for problem in self.problems))


class RulesBroken(StartError):
    """A request message whose validation rules do not compile."""

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(f"The validation rules of {message} do not compile: {problem}")


class PortUnavailable(StartError):
    """The address cannot be listened on."""

    def __init__(self, address: str) -> None:
        super().__init__(f"Cannot listen on {address}: the port is taken, or the address is not this machine's.")


class CertificateUnusable(StartError):
    """The files of the server's certificate are not there, or do not fit together."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"No TLS with these files: {problem}.")
