nostril_bench(net/deflate)
