//! What an image is called elsewhere.

use super::Docker;
use super::error::DockerError;

impl Docker {
    /// The digests that registries know an image by, as `name@sha256:…`; none for one that was made here.
    pub async fn image_digests(&self, image_id: &str) -> Result<Vec<String>, DockerError> {
        let action = format!("inspect image {image_id:?}");
        let image = self.request(&action, self.client.inspect_image(image_id)).await?;
        Ok(image.repo_digests.unwrap_or_default())
    }
}
