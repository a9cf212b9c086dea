nostril_bench(attestation/verify)
