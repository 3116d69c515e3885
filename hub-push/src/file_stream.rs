//! A file as the stream of bytes that the Hub's client uploads.

use std::sync::Arc;

use engine::Source;
use futures_util::{StreamExt, stream};
use hf_hub::{
    HFError, HFResult,
    repository::{SourceByteStream, StreamFactory},
};

use crate::stall::StallDetector;

/// Bytes that are read at once.
const CHUNK_SIZE: u64 = 4 << 20;

/// Opens a file from its beginning, as often as the client needs it.
pub(crate) struct FileStreamFactory {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) detector: Arc<StallDetector>,
}

impl StreamFactory for FileStreamFactory {
    fn open(&self) -> SourceByteStream {
        let (source, detector) = (Arc::clone(&self.source), Arc::clone(&self.detector));
        let offsets = (0..source.size()).step_by(CHUNK_SIZE as usize);
        stream::iter(offsets)
            .then(move |offset| {
                let (source, detector) = (Arc::clone(&source), Arc::clone(&detector));
                async move { read_chunk(source, &detector, offset).await }
            })
            .boxed()
    }
}

async fn read_chunk(
    source: Arc<dyn Source>,
    detector: &StallDetector,
    offset: u64,
) -> HFResult<bytes::Bytes> {
    let chunk = tokio::task::spawn_blocking(move || {
        let length = (source.size() - offset).min(CHUNK_SIZE);
        let mut chunk = vec![0; length as usize];
        source.read_at(offset, &mut chunk).map(|()| chunk)
    });
    let chunk = chunk.await.map_err(std::io::Error::other).and_then(|read| read).map_err(HFError::from)?;
    detector.note_activity();
    Ok(chunk.into())
}
