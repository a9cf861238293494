//! What an image is called elsewhere.

use super::Docker;
use super::error::DockerError;

impl Docker {
    /// The ID of the image that is called so now; nothing where none is.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, DockerError> {
        let action = format!("inspect image {name:?}");
        match self.request(&action, self.client.inspect_image(name)).await {
            Ok(image) => Ok(image.id),
            Err(DockerError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digests that registries know an image by, as `name@sha256:…`; none for one that was made here.
    pub async fn image_digests(&self, image_id: &str) -> Result<Vec<String>, DockerError> {
        let action = format!("inspect image {image_id:?}");
        let image = self.request(&action, self.client.inspect_image(image_id)).await?;
        Ok(image.repo_digests.unwrap_or_default())
    }
}
