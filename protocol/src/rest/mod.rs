//! The rules of the protocol's REST form that every server of it needs: which path stands for what,
//! how bodies carry tensors, and how a request is refused. No HTTP library is needed for them, and
//! none is known here.

mod endpoint;
mod exchange;
mod forms;
mod refusal;

pub use endpoint::Call;
pub use endpoint::Endpoint;
pub use endpoint::Method;
pub use exchange::HEADER_LENGTH;
pub use exchange::Written;
pub use exchange::header_length;
pub use exchange::read_request;
pub use exchange::write_response;
pub use forms::Forms;
pub use refusal::Refusal;
pub use refusal::check_content_encoding;
pub use refusal::error_json;
