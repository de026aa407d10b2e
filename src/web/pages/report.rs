//! `/report`: the weekly report as a page.
