"""The example in Python, and beside it what a guest should not do: a text says what.

`calls` is how often this was called in this memory, `loop` never ends, `grow` takes all memory.
"""

import guest
from wit_world.exports import model as wit

calls = 0


class Model(guest.Model):
    def predict(self, input):
        global calls
        if not input.content_type.startswith("text/plain"):
            return super().predict(input)
        calls += 1
        match input.body:
            case b"loop":
                while True:
                    pass
            case b"grow":
                blocks = []
                while True:
                    blocks.append(bytearray(1 << 20))
            case b"fail":
                raise RuntimeError("no reason")
        return wit.Media("text/plain", str(calls).encode())
