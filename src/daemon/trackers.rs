//! What a person wishes of the catalogues of trackers, granted.

use std::path::PathBuf;
use std::sync::Arc;

use super::running::{Running, refused};
use crate::command::{Done, Refused};
use crate::config::Config;
use crate::feed::{CatalogueOptions, CatalogueStatus};
use crate::tracker::{Part, PublicCatalogue};

/// The catalogues as they are configured.
pub(super) fn options(config: &Config, data_dir: Option<PathBuf>, built_in: &Arc<Part>) -> CatalogueOptions {
    CatalogueOptions {
        data_dir,
        built_in: Arc::clone(built_in),
        files: config.catalogue_files.clone(),
        download: config.catalogue_download.clone(),
        timeout: config.list_timeout,
    }
}

impl Running {
    pub(super) async fn add_catalogue(&self, catalogue: PublicCatalogue) -> Result<Done, Refused> {
        let status = self.catalogues.add(catalogue).await.map_err(refused)?;
        let (name, licence) = (catalogue.as_str(), catalogue.licence());
        if let Some(problem) = status.problem {
            return Err(Refused::Failed(format!(
                "`{name}` was added, and its download is tried again by itself. {problem}"
            )));
        }
        Ok(Done(format!(
            "`{name}` was added: {} names, under the licence {licence}. {}",
            status.names,
            catalogue.terms()
        )))
    }

    pub(super) async fn remove_catalogue(&self, catalogue: PublicCatalogue) -> Result<Done, Refused> {
        self.catalogues.remove(catalogue).await.map_err(refused)?;
        Ok(Done(format!("`{}` was removed, and what was kept of it.", catalogue.as_str())))
    }

    pub(super) async fn refresh_catalogue(&self, catalogue: PublicCatalogue) -> Result<Done, Refused> {
        let CatalogueStatus { names, problem, .. } =
            self.catalogues.refresh(catalogue).await.map_err(refused)?;
        match problem {
            Some(problem) => Err(Refused::Failed(problem)),
            None => Ok(Done(format!("`{}` is up to date, with {names} names.", catalogue.as_str()))),
        }
    }
}
