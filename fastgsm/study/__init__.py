"""The comparison of the models (measure, judge, show), and how the bundled priors are trained."""
