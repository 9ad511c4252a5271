"""A server whose policy is slow and logs the time of every call."""

import os
import sys
import time

from ibisagent.agent.actions import Terminate, write_reply
from ibisagent.agent.policies import Completion, Observation, SyncPolicy
from ibisagent.tools.clicks import Click
from ibisagent.ui.cli.mcp import ServerOptions, serve
from ibisagent.ui.sessions.limits import Limits


class SlowPolicy(SyncPolicy):
    """Clicks along a row, a reply every ``pause`` seconds; each ``run``-th reply is the end."""

    name = "slow"

    def __init__(self, log: str, pause: float, run: int) -> None:
        self.log, self.pause, self.run = log, pause, run

    def act(self, observation: Observation) -> Completion:
        with open(self.log, "a") as file:
            file.write(f"{time.time()}\n")
        time.sleep(self.pause)
        done = observation.step % self.run == self.run - 1
        action = Terminate() if done else Click((observation.step % 60 + 1) / 64, 0.5)
        return Completion(write_reply("On.", action, "Done.", frame=observation.frame))


def main() -> None:
    http = "--http" in sys.argv
    port = int(sys.argv[sys.argv.index("--port") + 1]) if http else 8000
    serving = ServerOptions(
        segmenter="disk", max_steps=60, transport="http" if http else "stdio", port=port, limits=Limits(runs=1)
    )
    serve(serving, SlowPolicy(os.environ["SLOW_LOG"], float(os.environ["SLOW_PAUSE"]), int(os.environ["SLOW_RUN"])))


if __name__ == "__main__":
    main()
