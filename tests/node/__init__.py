"""The validator shell: storage, links, driver, HTTP, process."""
