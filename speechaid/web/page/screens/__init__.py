"""The screens of the page, a module for each subject."""
