"""`resnet50-client page`: one web page on this machine that shows what the network makes of a photo."""
