//! Datatypes and their names.

use glovebox_protocol::Datatype;

#[test]
fn every_name_reads_back_as_its_datatype() {
    for datatype in Datatype::ALL {
        assert_eq!(datatype.name().parse(), Ok(datatype));
        assert_eq!(datatype.to_string(), datatype.name());
        let json = serde_json::to_string(&datatype).unwrap();
        assert_eq!(json, format!("\"{}\"", datatype.name()));
        assert_eq!(serde_json::from_str::<Datatype>(&json).unwrap(), datatype);
    }
}

#[test]
fn element_sizes_are_those_of_the_protocol() {
    let sizes = Datatype::ALL.map(|datatype| datatype.element_bytes().unwrap_or(0));
    assert_eq!(sizes, [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 0]);
    assert_eq!(Datatype::Bytes.element_bytes(), None);
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    assert_eq!(
        "fp32".parse::<Datatype>().unwrap_err().to_string(),
        "unknown datatype \"fp32\": expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, \
         FP16, BF16, FP32, FP64, BYTES"
    );
}
