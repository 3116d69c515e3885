//! A file of a repository, read by ranges. The Hub is asked once where the file is; ranges are then read from there.

use std::{io, sync::Arc};

use engine::Source;
use reqwest::{Method, StatusCode, Url, header};
use tokio::sync::Mutex;

use crate::{
    error::{Explain, HubError},
    requests::{HubClient, redirect_target},
};

/// A file at one commit.
pub struct HubFile {
    client: Arc<HubClient>,
    explain: Explain,
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
    /// The file `name` of `repo` (`owner/name`) at `revision`.
    #[must_use]
    pub fn new(
        client: &Arc<HubClient>,
        repo: &str,
        revision: &str,
        (name, size): (&str, u64),
        explain: &Explain,
    ) -> Self {
        let segments = repo.split('/').chain(["resolve", revision]).chain(name.split('/'));
        let location = format!("{}/{repo}/{name}", client.settings().endpoint);
        let (url, client, explain) = (client.url(segments), Arc::clone(client), Arc::clone(explain));
        Self { client, explain, location, size, url, link: Mutex::default() }
    }

    /// Asks the Hub where the file is.
    ///
    /// # Errors
    /// When the Hub does not let it be read.
    pub fn check_access(&self) -> Result<(), HubError> {
        self.client.block_on(self.client.with_retries(|| self.link())).map(|_| ())
    }

    /// All bytes.
    ///
    /// # Errors
    /// When they cannot be read: an error that the caller has explained.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        self.range(0, self.size as usize)
    }

    fn range(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let range = self.client.with_retries(|| self.try_range(offset, length));
        self.client.block_on(range).map_err(|error| io::Error::other((self.explain)(error)))
    }

    async fn try_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, HubError> {
        let link = self.link().await?;
        let request = match &link {
            FileLink::Hub(url) => self.client.to_hub(Method::GET, url.clone()),
            FileLink::Signed(url) => self.client.to_storage(url.clone()),
        };
        let range = format!("bytes={offset}-{}", offset + length as u64 - 1);
        let response = self.client.send(request.header(header::RANGE, range)).await;
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
        let response = self.client.send(self.client.to_hub(Method::HEAD, self.url.clone())).await?;
        Ok(match redirect_target(&response) {
            Some(target) => FileLink::Signed(target),
            None => FileLink::Hub(response.url().clone()),
        })
    }
}

impl Source for HubFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn version(&self) -> Option<String> {
        // names the commit
        Some(self.url.path().to_owned())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.range(offset, buffer.len())?;
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}
