//! Components of one application that call each other: what Spin calls service chaining.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http_body_util::BodyExt;

use super::state::State;
use super::{function, routes, spin};
use crate::sandbox::wasi::outbound::{CallError, CallRequest, Calling, Siblings};

impl Siblings for State {
    /// The callee has its own permits, limits and record. A component that calls itself without end
    /// runs out of permits.
    fn call(self: Arc<Self>, component: String, request: CallRequest) -> Calling {
        Box::pin(async move {
            let model = self.registry.of_component(&component).map(Arc::clone);
            let answer = match model {
                Some(model) => routes::mounted(self, model, request.map(Body::new)).await,
                None => call_function(self, &component, request).await?,
            };
            let answer = answer.map(|body| body.map_err(|_| CallError::HttpProtocolError));
            Ok(answer.map(BodyExt::boxed_unsync))
        })
    }
}

async fn call_function(
    state: Arc<State>,
    component: &str,
    mut request: CallRequest,
) -> Result<Response, CallError> {
    let mut functions = state.application.functions.iter();
    let function = functions.find(|function| function.id == component);
    let function = Arc::clone(function.ok_or(CallError::DestinationNotFound)?);
    spin::set_headers_of_call(&mut request).map_err(|_| CallError::HttpRequestUriInvalid)?;
    Ok(function::answer(state, function, request.map(Body::new)).await)
}
