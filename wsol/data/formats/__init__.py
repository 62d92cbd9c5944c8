"""File formats that ground truth is kept in: CSV, COCO JSON, Pascal VOC XML, CUB's tables, wsolevaluation's lists."""
