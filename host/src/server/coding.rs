//! Content codings: bodies of requests and answers that are compressed.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use glovebox_protocol::rest::Refusal;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

use crate::limits::{self, Bytes};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `gzip`.
    Gzip,
    /// `deflate`: with the wrapper of zlib, as HTTP means it. Some clients leave that out.
    Deflate,
}

impl Coding {
    /// How a request's body is compressed, if it is.
    ///
    /// # Errors
    /// In another way than these two, or in several.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut coding = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            if value.as_bytes().eq_ignore_ascii_case(b"identity") {
                continue;
            }
            let own = Self::named(value.as_bytes());
            if own.is_none() || coding.is_some() {
                let advice = "send gzip, deflate, or the body as it is";
                return Err(Refusal::content_encoding(value.as_bytes(), advice));
            }
            coding = own;
        }
        Ok(coding)
    }

    /// The coding that a client likes best for its answer, if it likes one better than none.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let of = |name| quality(headers, name);
        let (gzip, deflate) = (of(Self::Gzip.name()), of(Self::Deflate.name()));
        let (coding, best) = match gzip >= deflate {
            true => (Self::Gzip, gzip),
            false => (Self::Deflate, deflate),
        };
        let plain = listed(headers, "identity").unwrap_or(0.0);
        (best > 0.0 && best >= plain).then_some(coding)
    }

    fn named(name: &[u8]) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }

    /// Its name in headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The value of the header `content-encoding`.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The body as it was before. No more than `most` of it is ever in memory, whatever it claims.
    ///
    /// # Errors
    /// It is larger than that, broken, or something stands behind it.
    pub(super) fn decode(self, body: &[u8], most: Bytes) -> Result<Vec<u8>, Refusal> {
        let (bytes, rest) = match self {
            // Goes on with what stands behind, which must be compressed too.
            Self::Gzip => (inflate(MultiGzDecoder::new(body), most), &[] as &[u8]),
            Self::Deflate if is_zlib(body) => {
                let mut decoder = ZlibDecoder::new(body);
                (inflate(&mut decoder, most), decoder.into_inner())
            }
            Self::Deflate => {
                let mut decoder = DeflateDecoder::new(body);
                (inflate(&mut decoder, most), decoder.into_inner())
            }
        };
        let broken = || Refusal::InvalidRequest(format!("the body is not valid {}", self.name()));
        let bytes = bytes.map_err(|_| broken())?;
        if bytes.len() as u64 > most.0 {
            return Err(Refusal::body_too_large(most));
        }
        match rest.is_empty() {
            true => Ok(bytes),
            false => Err(broken()),
        }
    }

    /// All of it compressed, whatever comes of it.
    ///
    /// # Errors
    /// The encoder fails, which it does not in memory.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = Encoder::new(self);
        encoder.write(bytes)?;
        encoder.finish()
    }

    /// The body compressed, if that is worth it and takes no more than `room`.
    pub(super) fn encode(self, body: &[u8], room: usize) -> Option<Vec<u8>> {
        let (mut encoder, mut taken) = (Encoder::new(self), 0);
        for slice in body.chunks(limits::SLICE_BYTES) {
            encoder.write(slice).ok()?;
            taken += slice.len();
            if encoder.length() > worth(taken).min(room) {
                return None;
            }
        }
        let bytes = encoder.finish().ok()?;
        (bytes.len() <= worth(body.len()).min(room)).then_some(bytes)
    }
}

/// So many bytes are few enough in place of `bytes`.
fn worth(bytes: usize) -> usize {
    bytes / 8 * 7
}

fn inflate(decoder: impl Read, most: Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder
        .take(most.0.saturating_add(1))
        .read_to_end(&mut bytes)?;
    // It has grown by doubling.
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Whether bytes begin as zlib does: its method, and a checksum over two bytes.
fn is_zlib(body: &[u8]) -> bool {
    body.first_chunk().is_some_and(|head: &[u8; 2]| {
        head[0] & 0x0f == 8 && u16::from_be_bytes(*head).is_multiple_of(31)
    })
}

/// One of two encoders, which have no trait in common.
enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
        }
    }

    fn write(&mut self, slice: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(slice),
            Self::Deflate(encoder) => encoder.write_all(slice),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Gzip(encoder) => encoder.get_ref().len(),
            Self::Deflate(encoder) => encoder.get_ref().len(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        }
    }
}

/// How much a client likes a coding, from 0 to 1; what it does not name it may like as `*`.
fn quality(headers: &HeaderMap, name: &str) -> f32 {
    let named = listed(headers, name).or_else(|| listed(headers, "*"));
    named.unwrap_or(0.0)
}

fn listed(headers: &HeaderMap, name: &str) -> Option<f32> {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(name);
        is_it.then(|| weight(parts))
    })
}

/// The weight among an entry's parameters; 1 without one, and 0 for what is none.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|text| text.strip_prefix("q=").or(text.strip_prefix("Q=")));
    let number = weight.map_or(Ok(1.0), str::parse::<f32>);
    number.map_or(0.0, |number| match (0.0..=1.0).contains(&number) {
        true => number,
        false => 0.0,
    })
}
