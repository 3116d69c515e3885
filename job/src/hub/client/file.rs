//! A file of a repository, read by ranges. The Hub is asked once where the file is; ranges are then read from there.

use std::{io, sync::Arc};

use engine::{FolderEntry, Source};
use reqwest::{Method, StatusCode, Url, header};
use shared::domain::HubRepo;
use tokio::sync::Mutex;

use super::{
    Hub,
    error::{HubError, HubOperation},
};
use crate::error::JobError;

/// Redirects that are followed within the Hub, as for a repository that was renamed.
const MAX_REDIRECTS: usize = 5;

/// A file at one commit.
pub(super) struct HubFile {
    hub: Arc<Hub>,
    operation: HubOperation,
    location: String,
    size: u64,
    /// The Hub's URL, which resolves to a link.
    url: Url,
    link: Mutex<Option<FileLink>>,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FileLink {
    /// At the Hub.
    Hub(Url),
    /// In the storage behind it, at a signed link that expires.
    Signed(Url),
}

impl HubFile {
    pub(super) fn new(
        hub: Arc<Hub>,
        operation: HubOperation,
        repo: &HubRepo,
        revision: &str,
        file: &FolderEntry,
    ) -> io::Result<Self> {
        let location = format!("{}/{}", hub.url_of(repo), file.name);
        let (owner, name) = repo.parts();
        let mut url = Url::parse(hub.client.endpoint()).map_err(io::Error::other)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([owner, name, "resolve", revision]).extend(file.name.split('/'));
        }
        Ok(Self { hub, operation, location, size: file.size, url, link: Mutex::default() })
    }

    /// Fails if the Hub does not let the file be read.
    pub(super) fn check_access(&self) -> Result<(), JobError> {
        let link = self.hub.runtime.block_on(self.hub.with_retries(|| self.link()));
        link.map(|_| ()).map_err(|error| self.operation.failed(error))
    }

    /// All bytes.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        self.range(0, self.size as usize)
    }

    fn range(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let range = self.hub.with_retries(|| self.try_range(offset, length));
        self.hub.runtime.block_on(range).map_err(|error| io::Error::other(self.operation.failed(error)))
    }

    async fn try_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, HubError> {
        let link = self.link().await?;
        let request = match &link {
            FileLink::Hub(url) => self.hub.to_hub(Method::GET, url.clone()),
            FileLink::Signed(url) => self.hub.http.get(url.clone()),
        };
        let range = format!("bytes={offset}-{}", offset + length as u64 - 1);
        let response = self.hub.send(request.header(header::RANGE, range)).await;
        let response = match (response, &link) {
            (Err(HubError::Response(refused)), FileLink::Signed(_))
                if (400..500).contains(&refused.status) && refused.status != 429 =>
            {
                self.forget(&link).await;
                return Err(HubError::DeadLink(refused.status));
            }
            (response, _) => response?,
        };
        if response.status().is_redirection() {
            self.forget(&link).await;
            return Err(HubError::DeadLink(response.status().as_u16()));
        }
        let is_complete = response.status() == StatusCode::PARTIAL_CONTENT || length as u64 == self.size;
        let bytes = if is_complete { response.bytes().await? } else { bytes::Bytes::new() };
        if bytes.len() != length {
            return Err(HubError::Length { requested: length, returned: bytes.len() });
        }
        Ok(bytes.into())
    }

    /// The link, for which the Hub is asked if it is not known.
    async fn link(&self) -> Result<FileLink, HubError> {
        let mut known = self.link.lock().await;
        if let Some(link) = &*known {
            return Ok(link.clone());
        }
        let link = self.resolve().await?;
        *known = Some(link.clone());
        Ok(link)
    }

    async fn forget(&self, link: &FileLink) {
        let mut known = self.link.lock().await;
        if known.as_ref() == Some(link) {
            *known = None;
        }
    }

    async fn resolve(&self) -> Result<FileLink, HubError> {
        let mut url = self.url.clone();
        for _ in 0..MAX_REDIRECTS {
            let response = self.hub.send(self.hub.to_hub(Method::HEAD, url.clone())).await?;
            let location =
                response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok(FileLink::Hub(url));
            };
            let target = url.join(location).map_err(|error| HubError::Client(error.into()))?;
            if target.origin() != self.url.origin() {
                return Ok(FileLink::Signed(target));
            }
            url = target;
        }
        Err(HubError::TooManyRedirects)
    }
}

impl Source for HubFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.range(offset, buffer.len())?;
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}
