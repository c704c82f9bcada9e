"""The static site: pages for people, with tables and charts that can be searched, filtered and compared."""
