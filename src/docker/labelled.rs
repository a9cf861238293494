//! Containers by their labels.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptionsBuilder;

use super::error::DockerError;
use super::{ContainerInfo, Docker};

impl Docker {
    /// Every container whose label `label` has this value, running or not, by name.
    pub async fn labelled(&self, label: &str, value: &str) -> Result<Vec<ContainerInfo>, DockerError> {
        let wanted = format!("{label}={value}");
        let filters = HashMap::from([("label", vec![wanted.as_str()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let action = format!("list the containers with the label {wanted}");
        let listed = self.request(&action, self.client.list_containers(Some(options))).await?;
        let mut found = Vec::new();
        for id in listed.into_iter().filter_map(|container| container.id) {
            match self.inspect(&id).await {
                Ok(info) => found.push(info),
                // It was removed since it was listed.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}
