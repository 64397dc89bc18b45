"""The first real run: published weights, real faces, the paper's tables, and a report to hand in."""
