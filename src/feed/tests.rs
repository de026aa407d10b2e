//! What a person sees of the lists.
