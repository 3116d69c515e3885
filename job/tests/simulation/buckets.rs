//! A bucket as one process sees it. Calls that other processes notice are scheduled; reads of models are not.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

use crate::store::{Connection, Lost};

impl From<Lost> for object_store::Error {
    fn from(lost: Lost) -> Self {
        Self::Generic { store: "the simulated bucket", source: lost.into() }
    }
}

#[derive(Clone)]
pub(crate) struct ProcessBucket {
    pub(crate) connection: Connection,
    pub(crate) bucket: Arc<InMemory>,
}

impl fmt::Debug for ProcessBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessBucket")
    }
}

impl fmt::Display for ProcessBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Cloud Storage gives every object a generation; in memory, the entity tag is one.
fn with_generation(mut object: ObjectMeta) -> ObjectMeta {
    object.version.clone_from(&object.e_tag);
    object
}

#[async_trait]
impl ObjectStore for ProcessBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let what = match options.mode {
            PutMode::Create => "put new",
            PutMode::Overwrite => "put",
            PutMode::Update(_) => "replace",
        };
        let Connection { schedule, has_looked, .. } = &self.connection;
        if !location.as_ref().contains("/published/") {
            has_looked.store(false, Ordering::Relaxed);
        } else if location.as_ref().ends_with(".json") && !has_looked.load(Ordering::Relaxed) {
            schedule.break_rule(format!("{location} was published without a look at its export"));
        }
        let put = || self.bucket.put_opts(location, payload.clone(), options.clone());
        self.connection.call((what, false), put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.bucket.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        options.version = None;
        let get = || async {
            let mut found = self.bucket.get_opts(location, options.clone()).await?;
            found.meta = with_generation(found.meta);
            Ok(found)
        };
        if location.as_ref().contains("/published/") {
            return self.connection.call(("get", false), get).await;
        }
        match self.connection.schedule.is_dead(self.connection.process) {
            true => Err(Lost.into()),
            false => get().await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let location = location?;
                this.connection.call(("delete", false), || this.bucket.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            let objects = || this.bucket.list(prefix.as_ref()).try_collect::<Vec<_>>();
            let objects: Vec<_> = this.connection.call(("list", false), objects).await?;
            let objects = objects.into_iter().map(|object| Ok(with_generation(object)));
            Ok::<_, object_store::Error>(futures_util::stream::iter(objects))
        };
        futures_util::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.bucket.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.bucket.copy_opts(from, to, options).await
    }
}
