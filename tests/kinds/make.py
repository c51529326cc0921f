"""Makes the files of this folder: what people have in the place of an ONNX file or of a component.

    pip install -r requirements.txt && python make.py

Most are written by the library itself. Those of PyTorch, TensorFlow and Keras have the layout that these
write (names of entries, identifiers), and nothing in it that matters.
"""

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import flatbuffers
import gguf
import h5py
import joblib
import lightgbm
import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import xgboost
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
X = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
Y = np.array([0, 0, 1, 1])


def sklearn():
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, HERE / "sklearn.joblib")
    joblib.dump(model, HERE / "sklearn-compressed.joblib", compress=3)
    (HERE / "sklearn.pkl").write_bytes(pickle.dumps(model))


def trees():
    booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(X, label=Y), num_boost_round=1)
    booster.save_model(HERE / "xgboost.json")
    booster.save_model(HERE / "xgboost.ubj")
    data = lightgbm.Dataset(X, label=Y, params={"min_data_in_leaf": 1, "min_data_in_bin": 1})
    settings = {"objective": "binary", "num_leaves": 2, "min_data_in_leaf": 1, "verbose": -1}
    booster = lightgbm.train(settings, data, num_boost_round=1)
    booster.save_model(HERE / "lightgbm.txt")
    (HERE / "lightgbm.json").write_text(json.dumps(booster.dump_model()))


def weights():
    safetensors.numpy.save_file({"w": X}, HERE / "weights.safetensors", metadata={"format": "pt"})
    np.savez(HERE / "arrays.npz", w=X)
    np.save(HERE / "array.npy", X)
    writer = gguf.GGUFWriter(HERE / "model.gguf", "llama")
    writer.add_tensor("w", X)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with h5py.File(HERE / "keras.h5", "w") as file:
        file.attrs["keras_version"] = "2.15.0"


def onnx_runtime():
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, HERE / "relu.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(HERE / "relu.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(HERE / "relu.onnx"), options)


def archive(name, entries):
    with zipfile.ZipFile(HERE / name, "w") as file:
        for entry, content in entries:
            file.writestr(zipfile.ZipInfo(entry), content)


def layouts():
    archive("torch.pt", [("archive/data.pkl", pickle.dumps({}, 2)), ("archive/version", "3\n")])
    archive("torchscript.pt", [("model/data.pkl", pickle.dumps({}, 2)), ("model/code/m.py", "")])
    archive("model.keras", [("metadata.json", '{"keras_version": "3.5.0"}'), ("config.json", "{}")])
    archive("model.zip", [("model.onnx", "")])
    magic = 0x1950A86A20F9469CFC6C
    (HERE / "torch-legacy.pth").write_bytes(pickle.dumps(magic, 2) + pickle.dumps({}, 2))
    builder = flatbuffers.Builder(0)
    builder.StartObject(1)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    (HERE / "model.tflite").write_bytes(bytes(builder.Output()))
    with tarfile.open(HERE / "model.tar", "w", format=tarfile.USTAR_FORMAT) as file:
        file.addfile(tarfile.TarInfo("model.onnx"), io.BytesIO())
    with tarfile.open(HERE / "model.tar.gz", "w:gz") as file:
        file.addfile(tarfile.TarInfo("model.onnx"), io.BytesIO())


def texts():
    (HERE / "lfs-pointer.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 90387606\n"
    )
    (HERE / "page.html").write_text("\n<!DOCTYPE html>\n<html><title>404</title></html>\n")
    (HERE / "denied.xml").write_text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>\n')
    (HERE / "config.json").write_text('{"model_type": "bert"}\n')
    (HERE / "notes.txt").write_text("Dear model,\nplease run.\n")


if __name__ == "__main__":
    for make in [sklearn, trees, weights, onnx_runtime, layouts, texts]:
        make()
