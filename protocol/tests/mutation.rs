//! Bodies with random damage: no panic, and whatever is still taken means what it says.

use glovebox_protocol::{Datatype, InferRequest, Tensor};
use serde_json::Value;

const BODIES: [&str; 4] = [
    r#"{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1.5,-2],[3e2,0]]}]}"#,
    r#"{"inputs":[{"data":["a\"]","\u00e9\\"],"name":"x","datatype":"BYTES","shape":[2]}],"outputs":[{"name":"y"}]}"#,
    r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1,2],"data":[ [-128, 127] ]}],"parameters":{"a":1,"b":[]}}"#,
    r#"{"inputs":[{"name":"x","shape":[3],"datatype":"BOOL","data":[true,false,1]},{"name":"y"}]}"#,
];

const DAMAGE: &[u8] = b"[]{},:\"\\ \n0123456789-+.eEutrfalsn\x00\xff";

#[test]
fn damaged_bodies_are_refused_or_read_as_serde_json_reads_them() {
    let mut random = Random(7);
    let mut taken = 0;
    for round in 0..60_000 {
        let mut body = BODIES[round % BODIES.len()].as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            damage(&mut body, &mut random);
        }
        let Ok(request) = InferRequest::from_json(&body) else {
            continue;
        };
        // Keys that are ignored may hold text that serde_json would refuse, had it to be kept.
        let Ok(json) = serde_json::from_slice::<Value>(&body) else {
            continue;
        };
        taken += 1;
        for (position, tensor) in request.inputs.iter().enumerate() {
            assert_eq!(tensor.check(), Ok(()));
            let mut elements = Vec::new();
            flatten(&json["inputs"][position]["data"], &mut elements);
            assert_eq!(raw(tensor.datatype, &elements), tensor.data, "{tensor:?}");
        }
    }
    assert!(
        taken > 1_000,
        "only {taken} bodies survived, so little was compared"
    );
}

#[allow(clippy::indexing_slicing, reason = "a helper of the test above")]
fn damage(body: &mut Vec<u8>, random: &mut Random) {
    let position = random.below(body.len());
    let byte = DAMAGE[random.below(DAMAGE.len())];
    match random.below(4) {
        0 => body.insert(position, byte),
        1 => body[position] = byte,
        2 => _ = body.remove(position),
        _ => {
            let end = (position + random.below(12)).min(body.len());
            let copy = body[position..end].to_vec();
            let target = random.below(body.len());
            body.splice(target..target, copy);
        }
    }
}

fn flatten<'a>(value: &'a Value, elements: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, elements)),
        element => elements.push(element),
    }
}

/// The raw form by another road than the crate's own; `None` elements make the comparison fail.
fn raw(datatype: Datatype, elements: &[&Value]) -> Vec<u8> {
    let bytes = |element: &&Value| match datatype {
        Datatype::Fp32 => element
            .as_f64()
            .map(|number| (number as f32).to_le_bytes().to_vec()),
        Datatype::Int8 => element.as_i64().map(|number| vec![number as u8]),
        Datatype::Uint8 => element.as_u64().map(|number| vec![number as u8]),
        Datatype::Bool => element
            .as_bool()
            .map(u64::from)
            .or(element.as_u64())
            .map(|number| vec![number as u8]),
        Datatype::Bytes => element.as_str().map(|text| {
            let length = (text.len() as u32).to_le_bytes();
            [&length, text.as_bytes()].concat()
        }),
        _ => None,
    };
    elements.iter().filter_map(bytes).flatten().collect()
}

#[test]
fn any_bytes_as_raw_bytes_data_are_checked_without_panic() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let data: Vec<u8> = (0..random.below(24))
            .map(|_| random.below(4) as u8)
            .collect();
        let shape = [random.below(5) as u64];
        if let Ok(tensor) = Tensor::new("x", Datatype::Bytes, shape, data) {
            assert_eq!(tensor.bytes_elements().count() as u64, shape[0]);
        }
    }
}

/// A small generator with a fixed seed, so a failure comes back.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}
