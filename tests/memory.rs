//! Guests that want all of the memory, and the stack; and whether any of it shows in another.

use std::io::Write;

use crate::harness::bodies::{self, deep, grow, grow_table};
use crate::harness::files::{Manifest, digits, manifest};
use crate::harness::guest::{Guest, with_modules};
use crate::harness::hostile::{Hostile, check, refusal, settles};

const PAGE: u32 = 65536;

/// A guest that is answered at its limit beside one that wants the least bit more.
fn at_and_above(at: &Guest, above: &Guest, limits: &str, code: &str) {
    let hostile = Hostile::many(&[("at", at, limits), ("above", above, limits)]);
    for _ in 0..2 {
        hostile.call("at").ok();
        check(&hostile.call("above"), 502, code);
    }
    hostile.unhurt();
}

fn high_water(hostile: &Hostile, model: &str) -> f64 {
    let series = format!("glovebox_guest_memory_high_water_bytes{{model=\"{model}\"}}");
    hostile.client().metric(&series)
}

#[test]
fn memory_is_given_up_to_the_limit_and_not_a_page_more() {
    let (at, above) = (Guest::infer(&grow(16)), Guest::infer(&grow(17)));
    at_and_above(&at, &above, "memory = \"2MiB\"", "memory_limit");
}

#[test]
fn all_memory_at_once_is_not_given() {
    let hostile = Hostile::new(&Guest::infer(&grow(65535 - 16)), "memory = \"64MiB\"");
    hostile.fails(502, "memory_limit");
    assert_eq!(high_water(&hostile, "hostile"), f64::from(16 * PAGE));
    hostile.unhurt();
}

#[test]
fn memory_taken_bit_by_bit_ends_at_the_limit_which_is_recorded() {
    let hostile = Hostile::new(&Guest::infer(bodies::GROW), "memory = \"32MiB\"");
    hostile.fails(502, "memory_limit");
    // The guest takes 1 MiB at a time and starts with 1 MiB.
    assert_eq!(high_water(&hostile, "hostile"), f64::from(32 << 20));
    hostile.unhurt();
}

#[test]
fn a_guest_that_copes_with_less_memory_is_answered() {
    let body = "(drop (memory.grow (i32.const 60000))) (i32.const 2048)";
    let hostile = Hostile::new(&Guest::infer(body), "memory = \"2MiB\"");
    hostile.call("hostile").ok();
    hostile.unhurt();
}

#[test]
fn a_memory_limit_below_what_a_guest_starts_with_is_refused_at_the_start() {
    let line = refusal(&Guest::infer(bodies::ANSWER), "memory = \"1023KiB\"");
    assert!(line.contains("raise `memory`"), "{line}");
    let models = [("digits", digits(), "memory = \"1MiB\"")];
    let line = Manifest::new(&manifest(&models)).up().run().refusal();
    assert!(
        line.contains("\"digits\"") && line.contains("1 MiB"),
        "{line}"
    );
    assert!(line.contains("raise `memory`"), "{line}");
}

#[test]
fn two_memories_share_one_limit() {
    // The second is in a module of its own, which grows it on behalf of the code.
    let second = r#"(core module $second (memory 1) (func (export "grow") (param i32) (result i32)
        (memory.grow (local.get 0)))) (core instance $second (instantiate $second))"#;
    let with = r#"(with "s" (instance $second))"#;
    let import = r#"(import "s" "grow" (func $grow (param i32) (result i32)))"#;
    let guest = |pages: u32| {
        let body = format!(
            "(if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable))
            (if (i32.eq (call $grow (i32.const {pages})) (i32.const -1)) (then unreachable))
            (i32.const 2048)"
        );
        Guest::infer(&body).before(second, with).fields(import)
    };
    // 16 + 1 pages at the start and 8 + 7 more are 2 MiB.
    at_and_above(&guest(7), &guest(8), "memory = \"2MiB\"", "memory_limit");
}

#[test]
fn elements_of_tables_count_as_memory() {
    let guest = |elements| Guest::infer(&grow_table(elements)).fields(bodies::TABLE);
    // 1 MiB of memory and 8000 bytes of table.
    let limits = "memory = \"1056576B\"";
    at_and_above(&guest(1000), &guest(1001), limits, "memory_limit");
}

#[test]
fn a_table_grows_to_its_maximum_and_not_an_element_more() {
    let guest = |elements| Guest::infer(&grow_table(elements)).fields(bodies::TABLE);
    at_and_above(&guest(50_000), &guest(50_001), "", "trap");
    let hostile = Hostile::new(&guest(u32::MAX), "");
    check(&hostile.call("hostile"), 502, "memory_limit");
    hostile.unhurt();
}

#[test]
fn stack_is_given_up_to_its_end_and_not_beyond() {
    let (at, above) = (Guest::infer(&deep(2_000)), Guest::infer(&deep(1_000_000)));
    at_and_above(&at, &above, "", "stack_exhausted");
    let hostile = Hostile::new(&Guest::infer(bodies::RECURSE), "");
    hostile.fails(502, "stack_exhausted");
    hostile.unhurt();
}

#[test]
fn a_component_has_so_many_instances_memories_and_tables_and_not_one_more() {
    // The code is an instance with a memory itself.
    let cases = [
        ("", 63, "instances"),
        ("(memory 0)", 3, "memories"),
        ("(table 1 funcref)", 8, "tables"),
    ];
    for (field, most, what) in cases {
        let hostile = Hostile::new(&with_modules(most, field), "");
        hostile.call("hostile").ok();
        hostile.unhurt();
        for count in [most + 1, 1000] {
            let line = refusal(&with_modules(count, field), "");
            println!("{count} more {what}: {line}");
        }
    }
}

#[test]
fn a_module_with_two_memories_is_refused() {
    let guest = Guest::infer(bodies::ANSWER).fields("(memory $other 1)");
    let line = refusal(&guest, "");
    assert!(line.contains("more than one memory"), "{line}");
}

#[test]
fn memory_that_was_written_is_given_back() {
    let hostile = Hostile::new(&Guest::infer(&bodies::soil(3000)), "memory = \"256MiB\"");
    for _ in 0..3 {
        hostile.call("hostile").ok();
    }
    hostile.unhurt();
}

#[test]
fn a_sparse_image_is_served_and_given_back() {
    // One byte at each end of 64 MiB.
    let data = "(data (i32.const 0) \"a\") (data (i32.const 67108863) \"z\")";
    let guest = Guest::infer(bodies::ANSWER).pages(1024).fields(data);
    let hostile = Hostile::new(&guest, "");
    for _ in 0..5 {
        hostile.call("hostile").ok();
    }
    hostile.unhurt();
}

#[test]
fn no_guest_finds_what_another_wrote_into_memory() {
    let soil = Guest::infer(&bodies::soil(512));
    // The one has an image in its slot of the pool, the other memory that is all zeros there.
    let look = Guest::infer(&bodies::look(512));
    let image = Guest::infer(&bodies::look(256)).pages(256);
    let broken = Guest::infer(&(bodies::soil(512) + " unreachable"));
    let hostile = Hostile::many(&[
        ("soil", &soil, ""),
        ("look", &look, ""),
        ("image", &image, ""),
        ("broken", &broken, ""),
    ]);
    for _ in 0..20 {
        hostile.call("soil").ok();
        hostile.call("look").ok();
        check(&hostile.call("broken"), 502, "trap");
        hostile.call("image").ok();
        hostile.call("look").ok();
    }
    hostile.unhurt();
}

#[test]
fn no_guest_finds_what_another_put_into_a_table() {
    let guest = |body: &str| Guest::infer(body).fields(bodies::LARGE_TABLE);
    let soil = guest(bodies::SOIL_TABLE);
    let broken = guest(&(bodies::SOIL_TABLE.to_owned() + " unreachable"));
    let look = guest(bodies::LOOK_INTO_TABLE);
    let hostile = Hostile::many(&[
        ("soil", &soil, ""),
        ("broken", &broken, ""),
        ("look", &look, ""),
    ]);
    for _ in 0..20 {
        hostile.call("soil").ok();
        hostile.call("look").ok();
        check(&hostile.call("broken"), 502, "trap");
        hostile.call("look").ok();
    }
    hostile.unhurt();
}

#[test]
fn an_instantiation_that_is_broken_off_gives_everything_back() {
    // The start function takes long enough for its client to leave while it runs.
    let fields = "(func $start (call $burn (i64.const 200000000))) (start $start)";
    let guest = Guest::infer(bodies::ANSWER).fields(fields);
    let hostile = Hostile::new(&guest, "cpu = \"60s\"\ntimeout = \"60s\"");
    let client = hostile.client();
    for round in 1..=20 {
        let mut stream = client.connect();
        let request = "POST /v2/models/hostile/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{\"inputs\":[]}";
        stream.write_all(request.as_bytes()).unwrap();
        settles("an instance", || {
            let running = client.metric("glovebox_running_requests{model=\"hostile\"}");
            (running < 1.0).then(|| running.to_string())
        });
        drop(stream);
        settles("the end of the request", || {
            let cancelled = client.requests("hostile", "cancelled");
            (cancelled < f64::from(round)).then(|| cancelled.to_string())
        });
        settles("the end of the instance", || {
            let running = client.metric("glovebox_running_requests{model=\"hostile\"}");
            (running > 0.0).then(|| running.to_string())
        });
    }
    hostile.sends("hostile", 20);
    hostile.unhurt();
}

#[test]
fn an_instantiation_that_fails_is_refused_at_the_start() {
    let guest = Guest::infer(bodies::ANSWER);
    let late = guest
        .clone()
        .fields("(func $start unreachable) (start $start)");
    let outside = guest.fields("(data (i32.const 1048576) \"x\")");
    for guest in [late, outside] {
        let line = refusal(&guest, "");
        assert!(line.contains("signature"), "{line}");
    }
}
