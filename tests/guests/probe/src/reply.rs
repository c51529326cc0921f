//! Whole answers.

use spin_sdk::http::{Fields, OutgoingResponse, ResponseOutparam};

/// Where an answer goes; nowhere, if one has begun already.
pub(crate) struct Reply(Option<ResponseOutparam>);

impl Reply {
    pub(crate) fn to(out: ResponseOutparam) -> Self {
        Self(Some(out))
    }

    pub(crate) fn begun() -> Self {
        Self(None)
    }

    /// 200 with a text.
    pub(crate) async fn text(self, text: impl Into<String>) {
        self.body("text/plain", text.into().into_bytes()).await;
    }

    /// 200 with these bytes.
    pub(crate) async fn body(self, content_type: &str, body: Vec<u8>) {
        let length = body.len().to_string();
        let fields = [("content-type", content_type), ("content-length", &length)]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let fields = Fields::from_list(&fields).expect("a type and a length");
        let Some(out) = self.0 else { return };
        // A host that stops reading is no fault of this guest.
        let _ = out.set_with_body(OutgoingResponse::new(fields), body).await;
    }

    /// A head whose body is empty.
    pub(crate) fn head(self, response: OutgoingResponse) {
        if let Some(out) = self.0 {
            out.set(response);
        }
    }

    /// Where to begin an answer.
    pub(crate) fn out(self) -> ResponseOutparam {
        self.0.expect("no answer has begun")
    }
}
