//! What `up` shows to try, and the addresses at which it serves.

use std::fs;
use std::process::Command;

use crate::harness::bodies;
use crate::harness::command::Glovebox;
use crate::harness::damage::reworded;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::guest;
use crate::harness::host::Host;
use crate::harness::onnx::{Graph, Node};

/// The commands that an announcement shows.
fn commands(host: &Host) -> Vec<&str> {
    let lines = host.announcement.lines().map(str::trim);
    lines.filter(|line| line.contains("curl http")).collect()
}

/// What a shell makes of a line.
fn pasted(line: &str) -> String {
    let output = Command::new("/bin/sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_commands_of_the_announcement_work_as_they_are_pasted() {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let lines = commands(&host);
    println!("{}", host.announcement);
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, (model, label)) in lines.iter().zip([("digits", "0"), ("wine", "cultivar 1")]) {
        assert!(
            line.contains(&format!("/v2/models/{model}/predict")),
            "{line}"
        );
        let answer: serde_json::Value = serde_json::from_str(&pasted(line)).unwrap();
        assert_eq!(answer["label"], label, "{line}: {answer}");
    }
}

#[test]
fn a_command_is_made_up_for_a_model_without_an_example() {
    let dir = temporary();
    for model in ["digits", "wine"] {
        let onnx = dir.path().join(format!("{model}.onnx"));
        fs::copy(model_dir(model).join(format!("{model}.onnx")), &onnx).unwrap();
        let host = Glovebox::new("up").arg(&onnx).serve();
        let lines = commands(&host);
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        let answer: serde_json::Value = serde_json::from_str(&pasted(line)).unwrap();
        assert!(!answer["outputs"].is_null(), "{line}: {answer}");
    }
    // Numbers of a picture are more than anybody wants to see.
    let graph = Graph::new().input("x", &[1, 3, 64, 64]);
    let graph = graph.output("y", &[1, 3, 64, 64]);
    let graph = graph.node(Node::new("Relu", "", &["x"], &["y"]));
    let onnx = dir.path().join("picture.onnx");
    fs::write(&onnx, graph.model()).unwrap();
    let host = Glovebox::new("up").arg(&onnx).serve();
    let line = commands(&host)[0];
    assert!(
        line.starts_with("head -c 49152 /dev/zero | curl "),
        "{line}"
    );
    let cd = format!("cd {} && ", dir.path().display());
    pasted(&(cd + line));
    let answer = fs::read(dir.path().join("answer.bin")).unwrap();
    assert!(answer.ends_with(&[0; 49152]), "{}", answer.len());
}

#[test]
fn a_front_s_model_is_tried_where_its_route_leads() {
    let dir = temporary();
    let file = dir.path().join("front.wasm");
    Glovebox::new("pack")
        .arg(model_dir("wine").join("wine.onnx"))
        .arg("--http")
        .option("--output", &file)
        .run()
        .success();
    let text = manifest(&[("wine", &file, "")]);
    for route in ["/v2/models/wine/...", "/cellar/...", "/..."] {
        let host = Manifest::new(&text.replace("/v2/models/wine/...", route))
            .up()
            .serve();
        let lines = commands(&host);
        assert_eq!(lines.len(), 1, "{route}: {lines:?}");
        assert!(pasted(lines[0]).contains("cultivar 1"), "{}", lines[0]);
    }
}

#[test]
fn an_example_that_is_not_what_it_seems_is_not_shown() {
    let dir = temporary();
    let file = dir.path().join("wine.wasm");
    let bytes = fs::read(wine()).unwrap();
    for (body, shown) in [
        (r#""text":"'; rm -rf /; echo '""#, true),
        (r#""text":"\u001b[2J""#, false),
        (r#""text":"a\nb""#, false),
        (r#""base64":"$(reboot)""#, false),
    ] {
        let example = format!("\"example\":{{\"content_type\":\"application/json\",{body}}}");
        fs::write(&file, reworded(&bytes, "\"example\":", "}\"}", &example)).unwrap();
        let host = Glovebox::new("up").arg(&file).serve();
        let line = commands(&host)[0];
        assert_eq!(line.contains("predict"), shown, "{line}");
        let quoted = r"--data-raw ''\''; rm -rf /; echo '\'''";
        assert_eq!(line.contains(quoted), shown, "{line}");
    }
}

#[test]
fn no_more_than_a_handful_of_models_have_a_command() {
    let ids = ["a", "b", "c", "d", "e", "f", "g"];
    let models = ids.map(|id| (id, wine(), ""));
    let host = Manifest::new(&manifest(&models)).up().serve();
    assert_eq!(commands(&host).len(), 5);
    let said = &host.announcement;
    assert!(said.contains("and so on for 2 models more"), "{said}");
}

#[test]
fn the_root_leads_to_the_page_unless_a_route_takes_it() {
    let host = Glovebox::new("up").arg(wine()).serve();
    let answer = host.client().raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (307, "/docs"));
    assert!(host.client().get("/").text().contains("<html"));
    assert!(
        host.announcement
            .contains(&format!("http://{}/docs\n", host.client().address))
    );
    let taken = manifest(&[("wine", wine(), "")])
        + "[[trigger.http]]\nroute = \"/\"\nstatic_response = { body = \"mine\" }\n";
    let host = Manifest::new(&taken).up().serve();
    assert_eq!(host.client().get("/").text(), "mine");
}

#[test]
fn one_file_or_folder_is_named_without_an_option() {
    let served = Manifest::new(&manifest(&[("own", "own.wasm".as_ref(), "")]));
    let folder = served.dir.path();
    fs::write(folder.join("own.wasm"), guest::component(bodies::ANSWER)).unwrap();
    for path in [folder, &served.path] {
        let host = Glovebox::new("up").arg(path).serve();
        host.client().call("own").ok();
    }
    let both = Glovebox::new("up")
        .arg(wine())
        .option("--from", wine())
        .run();
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let empty = temporary();
    let line = Glovebox::new("up").arg(empty.path()).run().refusal();
    assert!(line.contains("a folder without a spin.toml"), "{line}");
}

#[test]
fn a_named_pipe_or_a_device_is_refused_at_once() {
    let dir = temporary();
    let pipe = dir.path().join("own.wasm");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let served = Manifest::new(&manifest(&[("own", &pipe, "")]));
    let line = served.up().run().refusal();
    assert!(line.contains("own.wasm: it is a named pipe"), "{line}");
    let line = Glovebox::new("up").arg(&pipe).run().refusal();
    assert!(line.contains("a named pipe, not a file"), "{line}");
    let line = Glovebox::new("inspect").arg("/dev/zero").run().refusal();
    assert!(line.contains("a device, not a file"), "{line}");
    let line = Glovebox::new("pack").arg(&pipe).run().refusal();
    assert!(line.contains("a named pipe, not a file"), "{line}");
}

#[test]
fn addresses_are_written_as_people_write_them() {
    for (written, ip) in [
        ("localhost:0", "127.0.0.1"),
        ("0", "127.0.0.1"),
        ("[::1]:0", "::1"),
    ] {
        let host = Glovebox::new("up").arg(wine()).serve_at(written);
        assert_eq!(host.client().address.ip().to_string(), ip, "{written}");
    }
    let host = Glovebox::new("up").arg(wine()).serve_at(":0");
    assert!(host.client().address.ip().is_unspecified());
    // The address to paste is one that can be asked.
    assert!(pasted(commands(&host)[0]).contains("cultivar 1"));
    for written in [
        "localhost",
        "127.0.0.1",
        "::1",
        "nowhere.invalid:80",
        "localhost:99999",
        "http://x:1",
    ] {
        let up = Glovebox::new("up")
            .arg(wine())
            .option("--listen", written)
            .run();
        assert_eq!(up.code, Some(2), "{written}: {}", up.stderr);
        assert!(up.stderr.contains("--listen"), "{written}: {}", up.stderr);
    }
}

#[test]
fn a_hangup_lets_requests_finish_unless_nobody_should_heed_it() {
    let host = Glovebox::new("up").arg(wine()).serve();
    host.signal_hangup();
    let (status, _) = host.wait();
    assert_eq!(status.code(), Some(0));
    let mut host = Glovebox::new("up").arg(wine()).without_hangup().serve();
    host.signal_hangup();
    assert_eq!(host.client().get("/readyz").status, 200);
    assert!(host.is_running());
}
