//! The process manager's services: the end of the process, and two streams that stay silent.

use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::proto::host::grpc_broker_server::GrpcBroker;
use crate::proto::host::grpc_controller_server::GrpcController;
use crate::proto::host::grpc_stdio_server::GrpcStdio;
use crate::proto::host::{ConnInfo, Empty, StdioData};

/// All three services.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Cancelled by the last call of a run.
    pub(crate) ended: CancellationToken,
}

impl Host {
    /// A stream that says nothing until the end.
    fn silence<T: Send + 'static>(&self) -> Response<BoxStream<T>> {
        let silence = stream::pending().take_until(self.ended.clone().cancelled_owned());
        Response::new(Box::pin(silence))
    }
}

#[tonic::async_trait]
impl GrpcController for Host {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.ended.cancel();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Host {
    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<BoxStream<ConnInfo>>, Status> {
        Ok(self.silence())
    }
}

#[tonic::async_trait]
impl GrpcStdio for Host {
    async fn stream_stdio(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<BoxStream<StdioData>>, Status> {
        Ok(self.silence())
    }
}
