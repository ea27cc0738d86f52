"""A page of the real Gradio: `gradio_page.py PORT`. A job ends when a line comes in on standard input."""

import sys

import gradio


def shout(text: str) -> str:
    sys.stdin.readline()
    return text.upper()


with gradio.Blocks() as page:
    box, answer = gradio.Textbox(), gradio.Textbox()
    box.submit(shout, box, answer, api_name="shout")
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), ssr_mode=False, quiet=True)
