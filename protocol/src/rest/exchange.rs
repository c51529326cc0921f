//! A request's body and its answer's: JSON, or JSON with binary tensors behind it.

use super::Forms;
use crate::decoder::{decode, decode_header};
use crate::request::JsonRequest;
use crate::tail::{self, Tail};
use crate::{Error, InferRequest, InferResponse, Signature};

/// The header that tells how long the JSON before binary tensors is, in requests and answers.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// All of it.
    pub body: Vec<u8>,
    /// The length of its JSON, where binary tensors stand behind that.
    pub header_length: Option<usize>,
}

impl Written {
    /// The content type.
    pub fn content_type(&self) -> &'static str {
        match self.header_length {
            Some(_) => "application/octet-stream",
            None => "application/json",
        }
    }
}

/// Reads the value of [`HEADER_LENGTH`].
///
/// # Errors
///
/// [`Error::Binary`] for what is no whole number.
pub fn header_length(value: &[u8]) -> Result<usize, Error> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::Binary("Inference-Header-Content-Length must be the JSON's length in bytes".into())
    })
}

/// Reads the body of a request to a model of this signature; `header_length` is the length of the
/// JSON, if the request tells one, and 0 for a body that is the only input itself. Takes memory for
/// a small multiple of the body at most, and copies binary data once.
///
/// # Errors
///
/// Any [`Error`] about JSON, lengths, datatypes, shapes, data, elements or forms; all are the
/// caller's fault.
pub fn read_request(
    body: &[u8],
    header_length: Option<usize>,
    signature: &Signature,
) -> Result<(InferRequest, Forms), Error> {
    let (json, tail): (JsonRequest<'_>, _) = match header_length {
        None => (decode(body)?, Tail::new(&[])),
        Some(0) => {
            let request = InferRequest {
                inputs: vec![tail::raw(body, &signature.inputs)?],
                ..InferRequest::default()
            };
            return Ok((request, Forms::binary()));
        }
        Some(length) => {
            let (header, tail) = tail::split(body, length)?;
            (decode_header(header)?, Tail::new(tail))
        }
    };
    let forms = Forms::of(&json)?;
    let request = json.read(tail)?;
    forms.check(&request, signature)?;
    Ok((request, forms))
}

/// Writes an answer in the forms that its request wants.
///
/// # Errors
///
/// As [`InferResponse::to_json`]; binary outputs can be of any datatype and hold any bytes.
pub fn write_response(response: &InferResponse, forms: &Forms) -> Result<Written, Error> {
    let (body, length) = response.write(|output| forms.is_binary(output))?;
    let mut outputs = response.outputs.iter();
    let has_binary = outputs.any(|output| forms.is_binary(&output.name));
    Ok(Written {
        body,
        header_length: has_binary.then_some(length),
    })
}
