//! Nothing is lost, whatever breaks. In short in `make test`; with `WATCHKEEPER_FIGURES` as often as it is written down.

mod damage;
mod hostile;
