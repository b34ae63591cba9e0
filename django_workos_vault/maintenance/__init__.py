"""What looks at whole tables: finding what is wrong, and sealing anew."""
