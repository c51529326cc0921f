//! Tensors: shape, datatype and data have to agree.

mod common;

use common::{byte_strings, tensor};
use glovebox_protocol::{Datatype, MAX_RANK, Tensor, element_count};

#[allow(clippy::unwrap_used, reason = "a helper of the tests below")]
fn refusal(datatype: Datatype, shape: &[u64], data: &[u8]) -> String {
    Tensor::new("x", datatype, shape, data)
        .unwrap_err()
        .to_string()
}

#[test]
fn the_element_count_is_the_product_of_the_shape() {
    assert_eq!(element_count(&[]), Some(1));
    assert_eq!(element_count(&[2, 3, 4]), Some(24));
    assert_eq!(element_count(&[u64::MAX]), Some(u64::MAX));
    assert_eq!(element_count(&[1 << 32, 1 << 32]), None);
}

#[test]
fn a_zero_dimension_holds_nothing_however_large_the_others_are() {
    assert_eq!(element_count(&[u64::MAX, u64::MAX, 0]), Some(0));
    assert_eq!(element_count(&[0, u64::MAX, u64::MAX]), Some(0));
}

#[test]
fn data_of_the_right_length_is_taken() {
    for datatype in Datatype::ALL {
        let data = match datatype.element_bytes() {
            Some(bytes) => vec![0; 6 * bytes],
            None => byte_strings(&[b"", b"a", b"bc", b"", b"\xff", b"f"]),
        };
        assert_eq!(tensor("x", datatype, &[2, 3], &data).elements(), Some(6));
    }
}

#[test]
fn a_scalar_holds_one_element() {
    assert_eq!(
        tensor("x", Datatype::Int16, &[], &[1, 0]).elements(),
        Some(1)
    );
}

#[test]
fn data_one_byte_short_or_long_is_refused() {
    assert_eq!(
        refusal(Datatype::Fp32, &[2, 3], &[0; 23]),
        "tensor \"x\": FP32 with shape [2, 3] takes 6 elements of 4 bytes, found 23 bytes"
    );
    assert_eq!(
        refusal(Datatype::Uint8, &[0], &[0]),
        "tensor \"x\": UINT8 with shape [0] takes 0 elements of 1 bytes, found 1 bytes"
    );
}

#[test]
fn a_shape_whose_bytes_cannot_be_counted_is_refused() {
    assert_eq!(
        refusal(Datatype::Uint8, &[1 << 40, 1 << 40], &[]),
        "tensor \"x\": shape [1099511627776, 1099511627776] holds more elements than can be counted in 64 bits"
    );
    assert!(
        refusal(Datatype::Fp64, &[1 << 62], &[])
            .contains("4611686018427387904 elements of 8 bytes")
    );
}

#[test]
fn a_rank_of_32_is_taken_and_one_more_is_refused() {
    assert!(Tensor::new("x", Datatype::Uint8, vec![1; MAX_RANK], [7]).is_ok());
    assert_eq!(
        refusal(Datatype::Uint8, &[1; MAX_RANK + 1], &[7]),
        "tensor \"x\": a shape has at most 32 dimensions"
    );
}

#[test]
fn a_bool_byte_other_than_0_or_1_is_refused() {
    assert!(Tensor::new("x", Datatype::Bool, [2], [0, 1]).is_ok());
    assert_eq!(
        refusal(Datatype::Bool, &[3], &[0, 1, 2]),
        "tensor \"x\", element 2: a BOOL byte is 0 or 1, found 2"
    );
}

#[test]
fn bytes_elements_come_back_as_they_were_pushed() {
    let elements: [&[u8]; 3] = [b"one", b"", b"\xff\x00"];
    let tensor = tensor("x", Datatype::Bytes, &[3], &byte_strings(&elements));
    assert_eq!(tensor.bytes_elements().collect::<Vec<_>>(), elements);
}

#[test]
fn bytes_that_are_cut_off_are_refused() {
    let cut_off = "tensor \"x\", element 1: the length of a BYTES element, or the element behind it, is cut off";
    let whole = byte_strings(&[b"one", b"two"]);
    assert_eq!(
        refusal(Datatype::Bytes, &[2], &whole[..whole.len() - 1]),
        cut_off
    );
    assert_eq!(refusal(Datatype::Bytes, &[2], &whole[..9]), cut_off);
    let mut claims_too_much = byte_strings(&[b"one"]);
    claims_too_much.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refusal(Datatype::Bytes, &[2], &claims_too_much), cut_off);
}

#[test]
fn bytes_of_another_number_of_elements_are_refused() {
    let data = byte_strings(&[b"one", b"two"]);
    assert_eq!(
        refusal(Datatype::Bytes, &[3], &data),
        "tensor \"x\": BYTES with shape [3] takes 3 elements, found 2"
    );
    assert!(refusal(Datatype::Bytes, &[1], &data).contains("takes 1 elements, found 2"));
}

#[test]
fn numbers_become_a_tensor_of_fp32_and_come_back() {
    let numbers = [1.5, -0.0, f32::MAX];
    let tensor = Tensor::fp32("x", [1, 3], &numbers).unwrap();
    assert_eq!(tensor.datatype, Datatype::Fp32);
    assert_eq!(tensor.to_fp32().unwrap(), numbers);
    assert!(Tensor::fp32("x", [2, 3], &numbers).is_err());
    let other = Tensor::new("x", Datatype::Int32, [1], [0; 4]).unwrap();
    assert_eq!(other.to_fp32(), None);
}
