"""What torchvision and numpy make of a model's outputs: the reference for `[output] kind =
"detection"` and `"segmentation"`. Writes `expected.json` beside itself.

Needs numpy, torch and torchvision (0.14.1 was used: on Debian 12, python3-torchvision).
"""

import json
from pathlib import Path

import numpy
import torch
import torchvision

F = numpy.float32
LABELS = ["cat", "dog", "bird"]
random = numpy.random.default_rng(7)


def fitted(picture, input):
    """Where a picture lies on the input: its size there, and its corner."""
    (w, h), (W, H) = picture, (input["width"], input["height"])
    if input["fit"] == "stretch":
        return (W, H), (0, 0)
    if input["fit"] == "letterbox":
        factor = min(W / w, H / h)
        scaled = max(1, round(w * factor)), max(1, round(h * factor))
        return scaled, ((W - scaled[0]) // 2, (H - scaled[1]) // 2)
    shorter = input["resize"]
    scaled = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    return scaled, tuple(-int(round((have - want) / 2)) for have, want in zip(scaled, (W, H)))


def corners(boxes, format, coordinates, input):
    a, b, c, d = boxes.T
    sides = {
        "cxcywh": [a - c / 2, b - d / 2, a + c / 2, b + d / 2],
        "xywh": [a, b, a + c, b + d],
        "xyxy": [a, b, c, d],
        "yxyx": [b, a, d, c],
    }[format]
    sides = numpy.stack(sides, 1).astype(F)
    if coordinates == "relative":
        sides = sides * numpy.array([input["width"], input["height"]] * 2, F)
    return sides


def detections(boxes, scores, classes, picture, input, output):
    """`boxes` by their corners on the input, with one score and one class each."""
    finite = numpy.isfinite(boxes).all(1) & numpy.isfinite(scores)
    seen = finite & (scores > F(output["threshold"])) & (classes != output.get("background", -1))
    boxes, scores, classes = boxes[seen], scores[seen], classes[seen]
    kept = torchvision.ops.batched_nms(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), output["iou"]
    )
    scaled, start = fitted(picture, input)
    found = []
    for at in kept.tolist()[: output["max"]]:
        sides = (boxes[at].astype(float) - [*start, *start]) / [*scaled, *scaled] * [*picture, *picture]
        left, top, right, bottom = numpy.clip(sides, 0, [*picture, *picture])
        if right > left and bottom > top:
            number = int(classes[at])
            label = output["labels"][number] if number < len(output["labels"]) else str(number)
            box = dict(x=left, y=top, width=right - left, height=bottom - top)
            found.append({"label": label, "score": float(scores[at]), "box": box})
    return found


def best(scores, output):
    """The best class of each row, the background left out."""
    scores = scores.copy()
    if "background" in output:
        scores[:, output["background"]] = -numpy.inf
    scores = numpy.where(numpy.isnan(scores), -numpy.inf, scores)
    return scores.max(1).astype(F), scores.argmax(1)


def some_boxes(count, width, height):
    """Boxes around few centres, so that many of them overlap: centres and sizes."""
    centres = random.uniform(0, 1, (6, 2))[random.integers(0, 6, count)]
    centres = (centres + random.normal(0, 0.02, (count, 2))) * [width, height]
    sizes = random.uniform(0.15, 0.35, (count, 2)) * [width, height]
    return numpy.concatenate([centres, sizes], 1).round(2).astype(F)


def written_as(boxes, format):
    """Boxes of centres and sizes in another form."""
    x, y, w, h = boxes.T.astype(float)
    left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    form = {"cxcywh": [x, y, w, h], "xywh": [left, top, w, h], "xyxy": [left, top, right, bottom]}
    form["yxyx"] = [top, left, bottom, right]
    return numpy.stack(form[format], 1).astype(F)


def some_scores(count, classes=3):
    return random.uniform(0, 1, (count, classes)).round(3).astype(F)


def tensor(name, array, datatype="FP32"):
    numbers = [None if n != n else float(str(n)) for n in array.ravel().astype(F)]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": numbers}


def case(name, picture, input, output, tensors, expected):
    input = {"kind": "image", "colour": "grey", **input}
    return dict(name=name, picture=picture, input=input, output=output, tensors=tensors, expected=expected)


def sigmoid(x):
    return (1 / (1 + numpy.exp(-x.astype(float)))).astype(F)


def detection_cases():
    common = {"kind": "detection", "threshold": 0.3, "iou": 0.5, "max": 100, "labels": LABELS}
    boxed = {"width": 64, "height": 64, "fit": "letterbox"}
    stretched = {"width": 64, "height": 48, "fit": "stretch"}
    cropped = {"width": 40, "height": 40, "fit": "crop", "resize": 48}

    def finish(name, picture, input, output, tensors, boxes, scores, classes):
        sides = corners(boxes, output["format"], output.get("coordinates", "pixels"), input)
        found = detections(sides, scores, classes, picture, input, output)
        assert 3 < len(found), (name, len(found))
        return case(name, picture, input, output, tensors, found)

    output = common | {"format": "cxcywh", "tensor": "out", "transposed": True}
    boxes, scores = some_boxes(60, 64, 64), some_scores(60)
    rows = numpy.concatenate([boxes, scores], 1)
    yield finish("YOLOv8", (120, 77), boxed, output, [tensor("out", rows.T[None])], boxes, *best(scores, output))

    output = common | {"format": "cxcywh", "tensor": "out", "row": "box objectness scores"}
    boxes, scores, object = some_boxes(60, 64, 64), some_scores(60), some_scores(60, 1)
    rows = numpy.concatenate([boxes, object, scores], 1)
    score, number = best(scores, output)
    yield finish("YOLOv5", (77, 120), boxed, output, [tensor("out", rows[None])], boxes, score * object[:, 0], number)

    output = common | {"format": "xyxy", "tensor": "out", "row": "box score class", "iou": 1.0, "max": 9}
    boxes, score, number = written_as(some_boxes(40, 64, 48), "xyxy"), some_scores(40, 1), random.integers(0, 4, (40, 1))
    rows = numpy.concatenate([boxes, score, number.astype(F)], 1)
    yield finish("end to end", (33, 90), stretched, output, [tensor("out", rows)], boxes, score[:, 0], number[:, 0])

    output = common | {"format": "yxyx", "coordinates": "relative", "boxes": "b", "scores": "s", "background": 0}
    boxes, scores = written_as(some_boxes(60, 1, 1), "yxyx"), some_scores(60)
    both = [tensor("b", boxes[None]), tensor("s", scores[None])]
    yield finish("with background", (90, 60), cropped, output, both, boxes, *best(scores, output))

    output = common | {"format": "xywh", "boxes": "b", "scores": "s", "classes": "c", "labels": []}
    boxes, score, number = written_as(some_boxes(50, 64, 48), "xywh"), some_scores(50, 1)[:, 0], random.integers(0, 3, 50)
    three = [tensor("b", boxes), tensor("s", score), tensor("c", number, "INT64")]
    yield finish("torchvision", (64, 48), stretched, output, three, boxes, score, number)

    output = common | {"format": "cxcywh", "boxes": "b", "scores": "s", "activation": "sigmoid"}
    boxes, logits = some_boxes(60, 40, 40), random.normal(0, 2, (60, 3)).round(2).astype(F)
    both = [tensor("b", boxes[None]), tensor("s", logits[None])]
    yield finish("logits", (31, 50), cropped, output, both, boxes, *best(sigmoid(logits), output))

    # Equal scores, and what is no number.
    output = common | {"format": "xyxy", "tensor": "out"}
    boxes, scores = written_as(some_boxes(40, 64, 48), "xyxy"), numpy.full((40, 3), 0.5, F)
    boxes[3, 1], scores[5], scores[6, 1], boxes[7] = numpy.nan, numpy.nan, numpy.nan, 8
    rows = numpy.concatenate([boxes, scores], 1)
    yield finish("ties", (60, 60), stretched, output, [tensor("out", rows[None])], boxes, *best(scores, output))


def mask_on(picture, input, classes):
    """The class of each pixel of the picture, at its centre's place on the mask."""
    scaled, start = fitted(picture, input)
    rows, columns = classes.shape
    mask = numpy.zeros((picture[1], picture[0]), numpy.uint8)
    for y in range(picture[1]):
        for x in range(picture[0]):
            across = ((x + 0.5) * scaled[0] / picture[0] + start[0]) / input["width"]
            down = ((y + 0.5) * scaled[1] / picture[1] + start[1]) / input["height"]
            if 0 <= across < 1 and 0 <= down < 1:
                mask[y, x] = classes[int(down * rows), int(across * columns)]
    return mask.tobytes().hex()


def segmentation_cases():
    output = {"kind": "segmentation", "tensor": "out"}
    fits = [
        ((23, 11), {"width": 12, "height": 16, "fit": "stretch"}),
        ((23, 11), {"width": 16, "height": 16, "fit": "letterbox"}),
        ((17, 29), {"width": 12, "height": 12, "fit": "crop", "resize": 14}),
    ]
    for picture, input in fits:
        rows, columns = input["height"] // 2, input["width"] // 2
        scores = random.normal(0, 1, (1, 5, rows, columns)).round(3).astype(F)
        expected = mask_on(picture, input, scores[0].argmax(0))
        yield case(f"classes, {input['fit']}", picture, input, output, [tensor("out", scores)], expected)
        logits = random.normal(0, 1, (1, 1, rows, columns)).round(3).astype(F)
        binary = output | {"activation": "sigmoid", "threshold": 0.6}
        expected = mask_on(picture, input, sigmoid(logits)[0, 0] > 0.6)
        yield case(f"one class, {input['fit']}", picture, input, binary, [tensor("out", logits)], expected)
        numbers = random.integers(0, 256, (1, rows, columns))
        expected = mask_on(picture, input, numbers[0])
        yield case(f"numbers, {input['fit']}", picture, input, output, [tensor("out", numbers, "INT64")], expected)


def main():
    cases = [*detection_cases(), *segmentation_cases()]
    lines = ",\n".join(json.dumps(each) for each in cases)
    (Path(__file__).parent / "expected.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
