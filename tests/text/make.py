"""Make the tokenizers and the small models of the text tests, and what must be answered.

    python3 -m venv /tmp/venv-text && /tmp/venv-text/bin/pip install --no-deps -r tests/text/requirements.txt
    /tmp/venv-text/bin/python tests/text/make.py

Three tokenizers are trained on sentences of this repository, one of each kind that language models
use. Training is not the same twice, so those that are there are kept; without them, everything changes.
The models have random weights with a fixed seed. Tokens to expect are those of the Python
package tokenizers, numbers those of ONNX Runtime with the pooling in NumPy, and entities those of the
rules of the aggregation "simple" of transformers, written down again here.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
MINILM = HERE.parent.parent / "models" / "minilm"
sys.path.insert(0, str(MINILM))
import build  # noqa: E402  the graph of minilm, here with other weights

SEED = 7
WORDS = 400  # tokens of each vocabulary, about
MAX_TOKENS = 24
HIDDEN, HEADS, INNER, LAYERS = 32, 4, 64, 2
POSITIONS = 64
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CLASSES = ["negative", "neutral", "positive"]

# What clients send that tokenizers and models may stumble over.
HOSTILE = [
    "",
    " ",
    "\n\t \r\n",
    "a\0b\0",
    "\x01\x02 control \x7f",
    "[CLS] [SEP] [PAD] [MASK] </s> <s> <pad> <unk>",
    "e\u0301cole vs \u00e9cole, n\u0303",
    "Z\u0351\u036b\u0343a\u0329\u034cl\u0335g\u0321o\u0334!",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f469\U0001f3fd\u200d\U0001f4bb\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\U0001f3f3\ufe0f\u200d\U0001f308",
    "\ufeff\u200b\u00adinvisible\u2060",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002",
    "\ufb01ne \u2460 \u33a5 \uff21\uff22\uff23 \u0130stanbul \u1e9e",
    "x" * 300,
    "word " * 200,
    "\U0010ffff\ue000",
    "don't can't we'll 3.14 1,000,000 C++ @user #tag https://a.b/c?d=e",
]


def sentences():
    return (MINILM / "sentences.txt").read_text().splitlines()


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(sentences() * 3, trainer)
    return tokenizer


def wordpiece():
    """As BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=WORDS, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # As files have it that were saved for a fixed length: rows are cut here and padded no further
    # than needed.
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS)
    return tokenizer


def bpe():
    """As RoBERTa's: pairs of bytes, words told apart by GPT-2's expression. No padding in the file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    train(
        tokenizer,
        trainers.BpeTrainer(vocab_size=WORDS, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def unigram():
    """As those of SentencePiece: a unigram model, spaces as marks, and an expression of our own."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    train(
        tokenizer,
        trainers.UnigramTrainer(vocab_size=WORDS, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_padding(direction="left", pad_id=1, pad_token="<pad>")
    return tokenizer


class Weights(dict):
    """Random weights by name, made when they are first asked for."""

    def __init__(self, shapes):
        super().__init__()
        self.random, self.shapes = np.random.default_rng(SEED), shapes

    def __missing__(self, name):
        kind, _, part = name.rpartition(".")
        shape = self.shape(kind, part)
        noise = self.random.standard_normal(shape) * (0.1 if part == "bias" else 0.3)
        self[name] = (noise + (part == "weight" and kind.endswith("LayerNorm"))).astype(np.float32)
        return self[name]

    def shape(self, kind, part):
        for end, (rows, columns) in self.shapes.items():
            if kind.endswith(end):
                return (rows,) if part == "bias" else (rows, columns)
        return (HIDDEN,) if part == "bias" or kind.endswith("LayerNorm") else (HIDDEN, HIDDEN)


def weights(words, **more):
    tables = {"word_embeddings": words, "position_embeddings": POSITIONS, "token_type_embeddings": 2}
    shapes = {name: (rows, HIDDEN) for name, rows in tables.items()}
    shapes |= {"intermediate.dense": (INNER, HIDDEN)}
    # After "attention.output.dense", which is square.
    shapes |= {"attention.output.dense": (HIDDEN, HIDDEN), "output.dense": (HIDDEN, INNER)}
    return Weights(more | shapes)


def config():
    return {
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "layer_norm_eps": 1e-12,
    }


def embedder(words):
    """The graph of minilm."""
    return build.model(weights(words), config())


class Exported(build.Graph):
    """The graph as torch.onnx.export writes it: shapes are taken apart and put together again, masks
    expanded, and normalisation is spelled out."""

    def shape_of(self, x, name, *sizes):
        """A shape of dimensions of x, by their index, and of numbers, given as [number]."""
        shape, parts = self.node("Shape", [x], f"{name}/shape"), []
        for index, size in enumerate(sizes):
            if isinstance(size, list):
                parts.append(self.constant(f"size{size[0]}", np.array(size, np.int64)))
                continue
            axis = self.constant(f"axis{size}", np.array(size, np.int64))
            one = self.node("Gather", [shape, axis], f"{name}/size{index}", axis=0)
            front = self.constant("front", np.array([0], np.int64))
            parts.append(self.node("Unsqueeze", [one, front], f"{name}/unsqueezed{index}"))
        return self.node("Concat", parts, f"{name}/joined", axis=0)

    def normalise(self, x, layer, name, epsilon):
        mean = self.node("ReduceMean", [x], f"{name}/mean", axes=[-1])
        centred = self.node("Sub", [x, mean], f"{name}/centred")
        squares = self.node("Pow", [centred, self.constant("two", np.float32(2))], f"{name}/squares")
        variance = self.node("ReduceMean", [squares], f"{name}/variance", axes=[-1])
        safe = self.node("Add", [variance, self.constant("epsilon", np.float32(epsilon))], f"{name}/safe")
        scaled = self.node("Div", [centred, self.node("Sqrt", [safe], f"{name}/root")], f"{name}/scaled")
        scaled = self.node("Mul", [scaled, self.weight(f"{layer}.weight")], f"{name}/weighted")
        return self.node("Add", [scaled, self.weight(f"{layer}.bias")], name)

    def position_ids(self):
        """RoBERTa's: counted from behind the number of the padding, which is counted by none."""
        pad = self.constant("pad", np.array(1, np.int64))
        is_pad = self.node("Equal", ["input_ids", pad], "is_pad")
        tokens = self.node("Cast", [self.node("Not", [is_pad], "is_token")], "are_tokens", to=TensorProto.INT32)
        axis = self.constant("axis1", np.array(1, np.int64))
        counted = self.node("CumSum", [tokens, axis], "counted")
        counted = self.node("Mul", [counted, tokens], "counted/tokens")
        counted = self.node("Cast", [counted], "counted/long", to=TensorProto.INT64)
        return self.node("Add", [counted, pad], "position_ids")

    def embedded(self):
        words = self.node("Gather", [self.weight("word_embeddings.weight"), "input_ids"], "words")
        places = self.node("Gather", [self.weight("position_embeddings.weight"), self.position_ids()], "places")
        # Token types that are not an input: a buffer of zeros, sliced and expanded.
        buffer = self.constant("types/buffer", np.zeros((1, POSITIONS), np.int64))
        length = self.node("Gather", [self.node("Shape", ["input_ids"], "types/shape"), self.constant("axis1", np.array(1, np.int64))], "types/length")
        front = self.constant("front", np.array([0], np.int64))
        end = self.node("Unsqueeze", [length, front], "types/end")
        zeros = self.node("Slice", [buffer, front, end, self.constant("size1", np.array([1], np.int64))], "types/row")
        zeros = self.node("Expand", [zeros, self.shape_of("input_ids", "types/all", 0, 1)], "types")
        kinds = self.node("Gather", [self.weight("token_type_embeddings.weight"), zeros], "kinds")
        sums = self.node("Add", [self.node("Add", [words, kinds], "words+kinds"), places], "sums")
        return self.normalise(sums, "LayerNorm", "embedded", 1e-5)

    def mask(self):
        axes = [self.constant(f"size{axis}", np.array([axis], np.int64)) for axis in (1, 2)]
        wide = self.node("Unsqueeze", ["attention_mask", axes[0]], "mask/one")
        wide = self.node("Unsqueeze", [wide, axes[1]], "mask/two")
        shape = self.shape_of("attention_mask", "mask/all", 0, [1], 1, 1)
        wide = self.node("Expand", [wide, shape], "mask/expanded")
        wide = self.node("Cast", [wide], "mask/float", to=TensorProto.FLOAT)
        flipped = self.node("Sub", [self.constant("one", np.float32(1)), wide], "mask/flipped")
        hidden = self.node("Cast", [flipped], "mask/hidden", to=TensorProto.BOOL)
        return self.node("Where", [hidden, self.constant("masked", build.MASKED), flipped], "mask")

    def attention(self, x, mask, layer):
        def by_head(part, order):
            flat = self.linear(x, f"{layer}.{part}", f"{layer}/{part}")
            shape = self.shape_of(flat, f"{layer}/{part}", 0, 1, [HEADS], [HIDDEN // HEADS])
            apart = self.node("Reshape", [flat, shape], f"{layer}/{part}/apart")
            return self.node("Transpose", [apart], f"{layer}/{part}/heads", perm=order)

        query, value = by_head("query", [0, 2, 1, 3]), by_head("value", [0, 2, 1, 3])
        scores = self.node("MatMul", [query, by_head("key", [0, 2, 3, 1])], f"{layer}/products")
        scores = self.node("Div", [scores, self.constant("scale", np.float32(np.sqrt(HIDDEN // HEADS)))], f"{layer}/scores")
        scores = self.node("Add", [scores, mask], f"{layer}/masked")
        shares = self.node("Softmax", [scores], f"{layer}/shares", axis=-1)
        mixed = self.node("Transpose", [self.node("MatMul", [shares, value], f"{layer}/mixed")], f"{layer}/back", perm=[0, 2, 1, 3])
        mixed = self.node("Reshape", [mixed, self.shape_of(mixed, f"{layer}/flat", 0, 1, [HIDDEN])], f"{layer}/joined")
        return self.linear(mixed, f"{layer}.dense", f"{layer}/out")

    def encoder(self):
        x, mask = self.embedded(), self.mask()
        for index in range(LAYERS):
            layer = f"layer{index}"
            x = self.node("Add", [self.attention(x, mask, layer), x], f"{layer}/sum")
            x = self.normalise(x, f"{layer}.LayerNorm", f"{layer}/norm", 1e-5)
            wide = self.gelu(self.linear(x, f"{layer}.intermediate.dense", f"{layer}/wide"), f"{layer}/gelu")
            x = self.node("Add", [self.linear(wide, f"{layer}.output.dense", f"{layer}/narrow"), x], f"{layer}/sum2")
            x = self.normalise(x, f"{layer}.output.LayerNorm", f"{layer}/norm2", 1e-5)
        return x


def classifier(words):
    """RoBERTa with a head on its first token, as exported."""
    graph = Exported(weights(words, **{"head.out": (len(CLASSES), HIDDEN)}))
    first = graph.node("Gather", [graph.encoder(), graph.constant("axis0", np.array(0, np.int64))], "first", axis=1)
    inner = graph.node("Tanh", [graph.linear(first, "head.dense", "head/inner")], "head/tanh")
    graph.linear(inner, "head.out", "logits")
    return finish(graph, ["input_ids", "attention_mask"], TensorProto.INT64, ["batch", "sequence"], ["batch", len(CLASSES)], 14)


def tagger(words):
    """The same network with a head on every token, and a fixed number of them, as INT32."""
    graph = Exported(weights(words, **{"head.out": (len(LABELS), HIDDEN)}))
    # The shapes of embeddings are those of INT64 there.
    graph.position_ids = lambda: graph.constant("places/fixed", np.arange(MAX_TOKENS, dtype=np.int64)[None])
    graph.linear(graph.encoder(), "head.out", "logits")
    return finish(
        graph, ["input_ids", "attention_mask"], TensorProto.INT32, ["batch", MAX_TOKENS], ["batch", MAX_TOKENS, len(LABELS)], 14
    )


def echo():
    """Answers with what it is asked."""
    graph = build.Graph({})
    outputs = []
    for name, output in [("input_ids", "ids"), ("attention_mask", "mask"), ("token_type_ids", "types")]:
        graph.node("Identity", [name], output)
        outputs.append(helper.make_tensor_value_info(output, TensorProto.INT64, ["batch", "sequence"]))
    names = ["input_ids", "attention_mask", "token_type_ids"]
    return finish(graph, names, TensorProto.INT64, ["batch", "sequence"], None, 14, outputs)


def finish(graph, names, datatype, shape, result, opset, outputs=None):
    inputs = [helper.make_tensor_value_info(name, datatype, shape) for name in names]
    outputs = outputs or [helper.make_tensor_value_info("logits", TensorProto.FLOAT, result)]
    made = helper.make_graph(graph.nodes, "test", inputs, outputs, graph.initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], producer_name="tests/text/make.py")
    model.ir_version = build.IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


class Reference:
    """A tokenizer with a model in ONNX Runtime, one text at a time."""

    def __init__(self, tokenizer, model, length=None):
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        padding = tokenizer.padding or {"direction": "right"}
        self.pad = None if length is None else {"length": length, "direction": padding["direction"], "pad_id": 1, "pad_token": "<pad>"}
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self, text, pair=None):
        tokens = self.tokenizer.encode(text, pair)
        if self.pad:
            tokens.pad(**self.pad)
        parts = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
        feeds = {spec.name: np.array([parts[spec.name]], types[spec.type]) for spec in self.session.get_inputs()}
        return tokens, self.session.run(None, feeds)[0][0]


def listed(numbers):
    """To six places, for the tests ask for four."""
    return np.round(numbers.astype(np.float64), 6).ravel().tolist()


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def tokens_of(tokenizer):
    """Of every text, its tokens, cut and not padded."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()
    plain.enable_truncation(MAX_TOKENS)
    cases = [(text, None) for text in HOSTILE + sentences()]
    cases += list(zip(sentences()[:12], HOSTILE[5:] + sentences()[::-1]))
    rows = [(text, pair, plain.encode(text, pair)) for text, pair in cases]
    return [{"text": text, "pair": pair, "ids": row.ids, "types": row.type_ids} for text, pair, row in rows]


def embeddings(reference):
    def case(text):
        _, hidden = reference.run(text)
        mean = hidden.mean(0)
        return {"text": text, "mean": listed(mean / np.linalg.norm(mean)), "cls": listed(hidden[0])}

    return [case(text) for text in HOSTILE + sentences()[::4]]


def rows(session):
    """Tensors as they are, of several rows and lengths; a row's end may be padding."""
    random, cases = np.random.default_rng(SEED), []
    for count, length in [(1, 1), (1, 8), (1, 9), (2, 5), (3, 17), (5, MAX_TOKENS)]:
        ids = random.integers(5, 300, (count, length))
        mask = np.ones((count, length), np.int64)
        mask[-1, length - length // 3 :] = 0
        kinds = random.integers(0, 2, (count, length))
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
        hidden = session.run(None, feeds)[0]
        flat = {name: value.ravel().tolist() for name, value in feeds.items()}
        cases.append({"shape": [count, length], **flat, "hidden": listed(hidden)})
    return cases


def classes(reference):
    cases = [(text, None) for text in HOSTILE + sentences()[::3]]
    cases += list(zip(sentences()[:12], sentences()[20:]))
    return [{"text": text, "pair": pair, "scores": listed(softmax(reference.run(text, pair)[1]))} for text, pair in cases]


def tag(label):
    if label[:2] in ("B-", "I-"):
        return label[0], label[2:]
    return "I", label


def entities(reference, text):
    """Neighbours of one tag are an entity; a B- begins another."""
    tokens, logits = reference.run(text)
    groups, last = [], None
    for index, scores in enumerate(softmax(logits)):
        if tokens.special_tokens_mask[index]:
            continue
        begin, name = tag(LABELS[int(scores.argmax())])
        if last != name or begin == "B":
            groups.append((name, []))
        groups[-1][1].append((float(scores.max()), *tokens.offsets[index]))
        last = name
    return [
        {
            "label": name,
            "score": float(np.mean([score for score, _, _ in group])),
            "start": group[0][1],
            "end": group[-1][2],
            "text": text[group[0][1] : group[-1][2]],
        }
        for name, group in groups
        if name != "O"
    ]


def kept(train):
    """The tokenizer in the file, or a new one that goes there."""
    file = HERE / f"{train.__name__}.json"
    if not file.exists():
        train().save(str(file), pretty=False)
    return Tokenizer.from_file(str(file))


def main():
    made = {train.__name__: kept(train) for train in (wordpiece, bpe, unigram)}
    sizes = {name: tokenizer.get_vocab_size() for name, tokenizer in made.items()}
    embed, classify, tags = embedder(sizes["wordpiece"]), classifier(sizes["bpe"]), tagger(sizes["unigram"])
    for name, model in {"embed": embed, "classify": classify, "tag": tags, "echo": echo()}.items():
        onnx.save(model, HERE / f"{name}.onnx")
    tagging = Reference(made["unigram"], tags, MAX_TOKENS)
    expected = {
        "max_tokens": MAX_TOKENS,
        "labels": LABELS,
        "classes": CLASSES,
        "tokens": {name: tokens_of(tokenizer) for name, tokenizer in made.items()},
        "embed": embeddings(Reference(made["wordpiece"], embed)),
        "rows": rows(Reference(made["wordpiece"], embed).session),
        "classify": classes(Reference(made["bpe"], classify)),
        "tag": [{"text": text, "entities": entities(tagging, text)} for text in HOSTILE + sentences()[::2]],
    }
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
