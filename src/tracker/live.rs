//! The catalogue in force, replaced whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Catalogue;

/// The catalogue in force. Whoever remembers what it said keeps [`Catalogue::generation`] beside it.
#[derive(Debug, Default)]
pub struct LiveCatalogue(ArcSwap<Catalogue>);

impl LiveCatalogue {
    /// Begins with a catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        Self(ArcSwap::from_pointee(catalogue))
    }

    /// The catalogue in force now.
    pub fn current(&self) -> Arc<Catalogue> {
        self.0.load_full()
    }

    /// Puts another one in force. One task does so; two at once could give two catalogues one generation.
    pub fn replace(&self, mut catalogue: Catalogue) {
        catalogue.generation = self.0.load().generation + 1;
        self.0.store(Arc::new(catalogue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_catalogue_is_another_generation() {
        let live = LiveCatalogue::default();
        let before = live.current().generation();
        live.replace(Catalogue::default());
        live.replace(Catalogue::default());
        assert_eq!(live.current().generation(), before + 2);
    }
}
