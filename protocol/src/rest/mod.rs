//! The rules of the protocol's REST form that every server of it needs: which path stands for what,
//! and how a request is refused. No HTTP library is needed for them, and none is known here.

mod endpoint;
mod refusal;

pub use endpoint::Call;
pub use endpoint::Endpoint;
pub use endpoint::Method;
pub use refusal::Refusal;
pub use refusal::check_content_encoding;
pub use refusal::error_json;
