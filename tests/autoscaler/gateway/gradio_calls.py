"""Calls a page by the real client, once for each word and all at once: `gradio_calls.py ADDRESS WORD...`."""

import sys
from concurrent.futures import ThreadPoolExecutor

from gradio_client import Client


def shouted(word: str) -> str:
    return Client(sys.argv[1], verbose=False).predict(word, api_name="/shout")


words = sys.argv[2:]
with ThreadPoolExecutor(len(words)) as pool:
    sys.stdout.write(" ".join(pool.map(shouted, words)))
