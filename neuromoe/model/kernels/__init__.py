"""What the models in closed form are made of: likenesses of people, ridge and logistic experts, pools."""
