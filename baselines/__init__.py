"""The compared algorithms, one file each. They import the contract and the models, nothing else of the harness."""
